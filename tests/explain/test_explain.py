"""The public `explain`: methods, targets, layers, evidence, runs and exports, and errors of input."""

import keras
import numpy as np
import pytest
from helpers.small_models import shrink_resnet
from PIL import Image

import cnnzoo
from cnnzoo.explain.methods import GRADIENTS, METHODS
from cnnzoo.surgery.logit_graph import LogitGraph

CAMS = [name for name, method in METHODS.items() if method.needs == GRADIENTS]


@pytest.fixture(scope="module")
def digits():
    return cnnzoo.load_data("digits").test.images


@pytest.fixture(scope="module")
def lenet():
    return cnnzoo.get("lenet5", weights="digits")


@pytest.fixture(scope="module")
def resnet():
    """A small ResNet that ends in global average pooling, with weights of which none is zero."""
    keras.utils.set_random_seed(0)
    model = cnnzoo.get(shrink_resnet("resnet18"), image_size=128, classes=["ant", "bee", "cat"])
    return shake(model)


def shake(model):
    """Give a fresh model variables that are neither zero nor one, so that every layer matters."""
    rng = np.random.default_rng(1)
    for variable in model.variables:
        if "variance" not in variable.name and len(variable.shape) == 1:
            variable.assign(variable.numpy() + rng.uniform(0.05, 0.3, variable.shape))
    return model


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (2, 9, 9, 3), "uint8").repeat(16, axis=1).repeat(16, axis=2)


# ---- Maps


@pytest.mark.parametrize("method", METHODS)
def test_each_method_gives_a_map_of_the_photo(lenet, digits, method):
    explanations = cnnzoo.explain(lenet, digits[:2], method=method)
    predictions = cnnzoo.Classifier.of(lenet, "keras").predict(digits[:2])
    for explanation, prediction in zip(explanations, predictions, strict=True):
        assert explanation.evidence
        assert explanation.map.shape == (8, 8)
        assert explanation.map.dtype == np.float32
        assert explanation.map.min() >= 0
        assert explanation.map.max() == pytest.approx(1)
        assert explanation.target == prediction.label
        assert explanation.classes == prediction.classes
        np.testing.assert_allclose(explanation.probabilities, prediction.probabilities, atol=1e-5)
        assert explanation.score == pytest.approx(prediction.probabilities[0], abs=1e-5)
        assert explanation.layer == ("" if method in ("occlusion", "integrated_gradients") else "c3")


def test_gradcam_equals_hirescam_before_global_pooling(resnet, photos):
    pairs = [cnnzoo.explain(resnet, photos, method=method, target="bee") for method in ("gradcam", "hirescam")]
    for first, second in zip(*pairs, strict=True):
        assert np.ptp(first.raw) > 0
        assert np.abs(first.raw - second.raw).max() <= 1e-5 * np.ptp(first.raw)


def test_gradcam_adds_up_to_the_logit_before_global_pooling(resnet, photos):
    """The mean of a feature map times its weight, over all maps, is the logit without its bias: CAM (Zhou 2015)."""
    (explanation,) = cnnzoo.explain(resnet, photos[:1], target=2)
    kernel, bias = resnet.get_layer("fc").get_weights()
    features = keras.Model(resnet.input, resnet.get_layer("avgpool").output)
    crop = cnnzoo.Classifier.of(resnet, "keras").transform(photos[:1])
    logit = (features.predict(crop, verbose=0) @ kernel)[0, 2]
    assert explanation.raw.sum() == pytest.approx(logit, rel=1e-3)
    assert bias.shape == (3,)


def test_a_contrast_is_the_difference_of_two_maps(resnet, photos):
    ant, bee = (cnnzoo.explain(resnet, photos[:1], target=name)[0] for name in ("ant", "bee"))
    (contrast,) = cnnzoo.explain(resnet, photos[:1], target=("ant", "bee"))
    np.testing.assert_allclose(contrast.raw, ant.raw - bee.raw, atol=1e-5 * np.ptp(contrast.raw))
    assert contrast.target == ("ant", "bee")
    assert contrast.score == pytest.approx(ant.score / (ant.score + bee.score), rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_contrast_and_its_reverse_differ(lenet, digits, method):
    first, second = (cnnzoo.explain(lenet, digits[:1], method=method, target=pair)[0] for pair in ((4, 9), (9, 4)))
    assert first.target == ("4", "9")
    assert "% of the two" in repr(first)
    assert "of the two, 4 has " in first._repr_html_()
    assert np.abs(first.raw - second.raw).max() > 1e-3 * np.abs(first.raw).max()


def test_a_map_without_evidence_says_so(lenet, digits):
    """The mean gradient of a class that everything speaks against weights all maps down."""
    results = [cnnzoo.explain(lenet, digits[:1], method="hirescam", target=i)[0] for i in range(10)]
    without = [result for result in results if not result.evidence]
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 1, activation="relu")])
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(2))
    model.layers[0].set_weights([np.ones((1, 1, 1, 2)), np.zeros(2)])
    model.layers[-1].set_weights([np.stack([-np.ones(128), np.ones(128)], axis=1), np.zeros(2)])
    image = np.full((1, 8, 8, 1), 100, "uint8")
    no, yes = (cnnzoo.explain(model, image, target=i)[0] for i in (0, 1))
    assert (no.evidence, yes.evidence) == (False, True)
    assert not no.map.any()
    assert "no evidence" in repr(no)
    assert np.array_equal(np.asarray(no.overlay()), np.asarray(no.photo()))
    assert all(not result.map.any() for result in without)


def test_occlusion_finds_the_pixels_that_count():
    """A model that looks at one corner loses only where that corner is covered."""
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    kernel = np.zeros((28, 28, 2))
    kernel[:4, 24:, 1] = 1
    model.layers[-1].set_weights([kernel.reshape(-1, 2), np.zeros(2)])
    images = np.zeros((1, 28, 28, 1), "uint8")
    images[0, :4, 24:] = 255
    (explanation,) = cnnzoo.explain(model, images, method="occlusion", target=1)
    assert explanation.map[:8, 20:].sum() > 0.99 * explanation.map.sum()


def test_integrated_gradients_are_complete(lenet, resnet, digits, photos):
    for model, images in ((lenet, digits[:2]), (resnet, photos)):
        for explanation in cnnzoo.explain(model, images, method="integrated_gradients"):
            assert explanation.completeness_error <= 0.01


def test_integrated_gradients_use_no_more_memory_for_more_steps(lenet, digits):
    """However many steps, the network sees so many images at a time."""
    from cnnzoo.explain.gradient_maps import IntegratedGradients
    from cnnzoo.explain.targets import Target

    image = cnnzoo.Classifier.of(lenet, "keras").transform(digits[:1])[0]
    sizes, maps = [], []
    for steps in (16, 128):
        method = IntegratedGradients(LogitGraph(lenet), np.zeros(1), batch_size=8, steps=steps)
        differentiate = method._differentiate
        method._differentiate = lambda images, *rest, f=differentiate: sizes.append(len(images)) or f(images, *rest)
        maps.append(method.compute(image, Target(4)).maps)
    assert max(sizes) == 8
    assert sum(sizes) >= 16 + 128
    np.testing.assert_allclose(*maps, atol=0.05 * np.ptp(maps[0]))


# ---- Models


@pytest.mark.parametrize("end", ["softmax layer", "softmax activation", "softmax dense", "logits"])
def test_the_logit_is_explained_whatever_the_model_ends_in(lenet, digits, end):
    """A saturated softmax has no gradient, and a softmax mixes the classes."""
    (expected,) = cnnzoo.explain(lenet, digits[:1], target=7)
    output = lenet.output
    if end == "softmax layer":
        output = keras.layers.Softmax()(output)
    elif end == "softmax activation":
        output = keras.layers.Activation("softmax", dtype="float32")(output)
    elif end == "softmax dense":
        last = lenet.get_layer("output")
        dense = keras.layers.Dense(10, activation="softmax", name="probabilities")
        output = dense(last.input)
        dense.set_weights(last.get_weights())
    model = keras.Model(lenet.input, output)
    card = cnnzoo.card(lenet)
    classifier = cnnzoo.Classifier.of(model, "keras", pad=card.pad, **card.evaluation_transform)
    (explanation,) = cnnzoo.explain(classifier, digits[:1], target=7)
    np.testing.assert_allclose(explanation.raw, expected.raw, atol=1e-5 * np.ptp(expected.raw))
    if end == "softmax dense":
        assert model.layers[-1].activation.__name__ == "softmax"  # as it was


def test_nested_models_are_explained_inside(resnet, photos):
    """Transfer learning with Keras puts the base network into the new model as one layer."""
    base = keras.Model(resnet.input, resnet.get_layer("layer4_0_relu").output)
    x = keras.layers.GlobalAveragePooling2D()(base(inputs := keras.Input((128, 128, 3))))
    dense = keras.layers.Dense(3)
    model = keras.Model(inputs, dense(x))
    dense.set_weights(resnet.get_layer("fc").get_weights())
    (expected,) = cnnzoo.explain(resnet, photos[:1], target=1, layer="layer4_0_relu")
    image = cnnzoo.Classifier.of(resnet, "keras").transform(photos[:1])
    (explanation,) = cnnzoo.explain(model, image, target=1)
    assert explanation.layer == "layer4_0_relu"
    np.testing.assert_allclose(explanation.raw, expected.raw, atol=1e-4 * np.ptp(expected.raw))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16"])
def test_maps_are_computed_in_float32_under_mixed_precision(photos, policy):
    row = shrink_resnet("resnet18")
    expected_model = shake(cnnzoo.get(row, image_size=128, classes=3))
    keras.config.set_dtype_policy(policy)
    try:
        model = cnnzoo.get(row, image_size=128, classes=3)
    finally:
        keras.config.set_dtype_policy("float32")
    model.set_weights(expected_model.get_weights())
    if policy == "bfloat16":  # whose weights are rounded
        expected_model.set_weights([np.asarray(value, "float32") for value in model.get_weights()])
    policies = [layer.dtype_policy.name for layer in model.layers]
    (expected,) = cnnzoo.explain(expected_model, photos[:1], target=1)
    (explanation,) = cnnzoo.explain(model, photos[:1], target=1)
    np.testing.assert_allclose(explanation.raw, expected.raw, atol=1e-4 * np.ptp(expected.raw))
    assert [layer.dtype_policy.name for layer in model.layers] == policies


@pytest.mark.slow
def test_auxiliary_heads_are_ignored():
    keras.utils.set_random_seed(0)
    row = cnnzoo.info("googlenet_2014").row
    model = cnnzoo.get(row, aux=True, classes=4, image_size=128)
    image = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), "uint8")
    (explanation,) = cnnzoo.explain(model, image, target=1)
    alone = keras.Model(model.input, model.output["logits"])
    (expected,) = cnnzoo.explain(alone, image, target=1)
    assert explanation.layer == "inception5b"
    np.testing.assert_allclose(explanation.raw, expected.raw, atol=1e-6)


def test_a_file_is_explained(lenet, digits, tmp_path):
    path = cnnzoo.save(lenet, tmp_path / "digits.keras")
    (of_file,) = cnnzoo.explain(path, digits[:1])
    (of_model,) = cnnzoo.explain(lenet, digits[:1])
    np.testing.assert_allclose(of_file.raw, of_model.raw, atol=1e-5)


@pytest.mark.slow
def test_exports_are_explained_by_occlusion_alone(lenet, digits, tmp_path):
    pytest.importorskip("ai_edge_litert")
    cnnzoo.export(lenet, tmp_path / "litert", format="litert")
    (expected,) = cnnzoo.explain(lenet, digits[:1], method="occlusion")
    (explanation,) = cnnzoo.explain(tmp_path / "litert", digits[:1], method="occlusion")
    np.testing.assert_allclose(explanation.raw, expected.raw, atol=1e-2 * np.ptp(expected.raw))
    for method in set(METHODS) - {"occlusion"}:
        with pytest.raises(
            cnnzoo.InputError, match=r"is an export \(litert\). Use method='occlusion', or explain the run"
        ):
            cnnzoo.explain(tmp_path / "litert", digits[:1], method=method)


@pytest.mark.slow
def test_a_model_is_explained_after_fine_tuning(tmp_path, digits, data):
    recipe = cnnzoo.recipe("finetune", epochs=1, precision="float32")
    model = cnnzoo.get("lenet5", weights="mnist")
    cnnzoo.fine_tune(model, data, recipe=recipe, run_dir=tmp_path / "run", verbose=False)
    (of_model,), (of_run,) = (cnnzoo.explain(source, digits[:1]) for source in (model, tmp_path / "run"))
    assert of_model.layer == "c3"
    np.testing.assert_allclose(of_run.raw, of_model.raw, atol=1e-4 * np.ptp(of_model.raw))


# ---- Images


def test_files_get_maps_of_their_own_size(resnet, tmp_path):
    for i, size in enumerate([(300, 200), (90, 150)]):
        Image.effect_noise(size, 90).convert("RGB").save(tmp_path / f"{i}.png")
    explanations = cnnzoo.explain(resnet, tmp_path, target="bee")
    assert [explanation.map.shape for explanation in explanations] == [(200, 300), (150, 90)]
    assert explanations[0].overlay().size == (300, 200)
    assert not explanations[0].map[:, :40].any()  # outside of the center crop of 87.5 %


def test_files_that_cannot_be_read_have_an_error(resnet, tmp_path):
    Image.new("RGB", (50, 50)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_text("no image")
    with pytest.warns(UserWarning, match=r"1 of 2 images cannot be read.*bad\.png"):
        bad, good = cnnzoo.explain(resnet, tmp_path)
    assert "bad.png" in bad.error
    assert not bad.evidence
    assert not good.error
    for use in (lambda: bad.map, bad.overlay, lambda: bad.save(tmp_path / "map.png")):
        with pytest.raises(cnnzoo.InputError, match=r"Cannot read.*bad\.png"):
            use()
    with pytest.raises(cnnzoo.InputError, match=r"Cannot read.*bad\.png"):
        cnnzoo.explain(resnet, tmp_path / "bad.png")


def test_a_list_has_a_target_for_each_image(lenet, digits):
    targets = [explanation.target for explanation in cnnzoo.explain(lenet, digits[:3], target=["4", 2, ("1", "7")])]
    assert targets == ["4", "2", ("1", "7")]
    images = (image for image in digits[:2])
    with pytest.raises(cnnzoo.InputError, match=r"one for each image: 2 images.*Received: 3 targets"):
        cnnzoo.explain(lenet, images, target=[1, 2, 3])
    with pytest.raises(cnnzoo.InputError, match="more images than targets"):
        cnnzoo.explain(lenet, (image for image in digits[:2]), target=[1])


def test_pictures_and_maps_are_saved(lenet, digits, tmp_path):
    (explanation,) = cnnzoo.explain(lenet, digits[:1])
    for name in ("a.png", "a.jpg"):
        explanation.save(tmp_path / name)
        with Image.open(tmp_path / name) as picture:
            assert picture.size == (8, 8)
    explanation.save(tmp_path / "a.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), explanation.map)
    with pytest.raises(cnnzoo.InputError, match=r"\.png, \.jpg.*a\.gif"):
        explanation.save(tmp_path / "a.gif")
    with pytest.raises(cnnzoo.InputError, match="Did you mean viridis"):
        explanation.overlay("virids")


def test_notebooks_show_overlays_with_escaped_names(lenet, digits):
    classifier = cnnzoo.Classifier.of(lenet, "keras", classes=[f"<b>{i}\n" for i in range(10)])
    explanations = cnnzoo.explain(classifier, digits[:2])
    for page in (explanations._repr_html_(), explanations[0]._repr_html_()):
        assert "data:image/png" in page
        assert "<b>4" not in page
        assert "&lt;b&gt;4" in page


# ---- Errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "bea"}, "Unknown class. Did you mean bee.*Received: 'bea'"),
        ({"target": 3}, "by its number from 0 to 2. Received: 3"),
        ({"target": True}, "by its number from 0 to 2. Received: True"),
        ({"target": ("ant", "ant")}, "two different classes"),
        ({"target": ("ant", "bee", "cat")}, "A contrast compares two classes"),
        ({"method": "grad_cam"}, "Unknown method. Did you mean gradcam"),
        ({"layer": "layer4_0_rel"}, "Unknown layer. Did you mean layer4_0_relu"),
        ({"layer": "avgpool"}, r"'avgpool' of .* has no feature maps.*layer4_0_relu \(4x4\)"),
        ({"layer": "fc"}, "'fc' of .* has no feature maps"),
        ({"layer": "layer4_0_relu", "method": "occlusion"}, "occlusion uses no layer.*gradcam"),
        ({"layer": "layer4_0_relu", "method": "integrated_gradients"}, "integrated_gradients uses no layer"),
        ({"targets": "bee"}, "target"),
    ],
)
def test_errors_name_what_is_allowed(resnet, photos, options, message):
    with pytest.raises(cnnzoo.InputError, match=message):
        cnnzoo.explain(resnet, photos, **options)


def test_a_layer_of_one_cell_has_no_spatial_extent(photos):
    model = cnnzoo.get(shrink_resnet("resnet18"), image_size=32, classes=3)
    with pytest.raises(cnnzoo.InputError, match=r"no spatial extent: its maps are 1x1. Allowed: .*\(8x8\)"):
        cnnzoo.explain(model, photos, layer="layer4_0_relu")
    (explanation, _) = cnnzoo.explain(model, photos)
    assert explanation.layer == "layer2_0_relu"  # of 4x4; those after it have 2x2 and 1x1


def test_classes_of_the_same_name_are_told_apart_by_number():
    from cnnzoo.explain.targets import parse_targets

    card = cnnzoo.Card("net", ("crane", "ant", "crane"), ids=("n1", "n2", "n3"))
    with pytest.raises(cnnzoo.InputError, match=r"2 classes named 'crane'; give the number of one: 0, 2"):
        parse_targets("crane", card)
    assert [parse_targets(target, card).index for target in (2, "2", "n3", "ant")] == [2, 2, 2, 1]
