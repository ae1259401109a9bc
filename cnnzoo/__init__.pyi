from .cards import Card as Card
from .cards import card as card
from .cards import save as save
from .checkpoints.tensors import save_weights as save_weights
from .data.images import ImageData as ImageData
from .data.sources import load_data as load_data
from .data.transform import Transform as Transform
from .data.transform import transform as transform
from .errors import InputError as InputError
from .errors import Interrupted as Interrupted
from .errors import TrainingError as TrainingError
from .evaluation.report import Report as Report
from .export.classifier import Classifier as Classifier
from .export.classifier import Prediction as Prediction
from .export.classifier import load as load
from .export.formats import export as export
from .features import feature_extractor as feature_extractor
from .registry import get as get
from .registry import info as info
from .registry import list_models as list_models
from .registry import register as register
from .training.loop import evaluate as evaluate
from .training.loop import fit_and_evaluate as fit_and_evaluate
from .training.recipes import Recipe as Recipe

__version__: str
