"""Inception v4 and Inception-ResNet v1 and v2 (Szegedy, Ioffe, Vanhoucke, Alemi 2016)."""

from cnnzoo.models.inception import Branch, Conv, Inception, Module, Pool, numbered_branches, single_branch

VALID, VALID_STRIDE_2 = (1, "valid"), (2, "valid")  # strides and padding of a convolution
AVERAGE_POOL = Pool("average", 3, 1)
STEM_START = single_branch("conv2d_1a", Conv(32, 3, *VALID_STRIDE_2)), single_branch("conv2d_2a", Conv(32, 3, *VALID))


def reduction_a(k: int, l: int, m: int) -> Module:  # noqa: E741  # the paper's letters
    """Return Reduction-A of figure 7, with k, l and m of table 1; n is always 384 here."""
    return numbered_branches(
        "mixed_6a",
        (Conv(384, 3, *VALID_STRIDE_2),),
        (Conv(k), Conv(l, 3), Conv(m, 3, *VALID_STRIDE_2)),
        (Pool(),),
    )


def inception_v4_modules() -> tuple[Module, ...]:
    """Return the modules of figure 9, with the stem of figure 3."""
    # Inception-A, figure 4.
    two_3x3 = (Conv(64), Conv(96, 3), Conv(96, 3))
    inception_a = (Conv(96),), two_3x3[:2], two_3x3, (AVERAGE_POOL, Conv(96))

    # Inception-B, figure 5.
    wide, tall = Conv(224, (1, 7)), Conv(224, (7, 1))
    inception_b = (
        (Conv(384),),
        (Conv(192), wide, Conv(256, (7, 1))),
        (Conv(192), Conv(192, (7, 1)), wide, tall, Conv(256, (1, 7))),
        (AVERAGE_POOL, Conv(128)),
    )

    # Inception-C, figure 6.
    fork = (Conv(256, (1, 3)), Conv(256, (3, 1)))
    third = (Conv(384), Conv(448, (3, 1)), Conv(512, (1, 3)), fork)
    inception_c = (Conv(256),), (Conv(384), fork), third, (AVERAGE_POOL, Conv(256))

    # Stem and Reduction-B, figures 3 and 8.
    last_3x3 = Conv(96, 3, *VALID)
    separated_7x7 = (Conv(64), Conv(64, (1, 7)), Conv(64, (7, 1)))
    reduction_7x7 = (Conv(256), Conv(256, (1, 7)), Conv(320, (7, 1)), Conv(320, 3, *VALID_STRIDE_2))
    return (
        *STEM_START,
        single_branch("conv2d_2b", Conv(64, 3)),
        numbered_branches("mixed_3a", (Pool(),), (Conv(96, 3, *VALID_STRIDE_2),)),
        numbered_branches("mixed_4a", (Conv(64), last_3x3), (*separated_7x7, last_3x3)),
        numbered_branches("mixed_5a", (Conv(192, 3, *VALID_STRIDE_2),), (Pool(),)),
        *(numbered_branches(f"mixed_5{i}", *inception_a) for i in "bcde"),
        reduction_a(192, 224, 256),
        *(numbered_branches(f"mixed_6{i}", *inception_b) for i in "bcdefgh"),
        numbered_branches("mixed_7a", (Conv(192), Conv(192, 3, *VALID_STRIDE_2)), reduction_7x7, (Pool(),)),
        *(numbered_branches(f"mixed_7{i}", *inception_c) for i in "bcd"),
    )


def repeat_residual(name: str, scale: float, count: int, *branches: Branch) -> list[Module]:
    """Return `count` residual modules, called name_1, name_2, ..."""
    return [numbered_branches(f"{name}_{i}", *branches, scale=scale) for i in range(1, count + 1)]


def inception_resnet_modules(
    start: tuple[Module, ...],
    block35: tuple[int, int, int],
    reduction: Module,
    block17: tuple[int, int, int, int],
    mixed_7a: tuple[int, int, int],
    block8: tuple[int, int, int],
    end: tuple[Module, ...] = (),
) -> tuple[Module, ...]:
    """Return the modules of figure 15.

    Residual modules of three sizes, `block35`, `block17` and `block8`, are given as how many there are and the filters
    that differ between the two networks; `mixed_7a` as these filters alone.
    """
    count, middle, last = block35
    third = (Conv(32), Conv(middle, 3), Conv(last, 3))
    blocks_35x35 = repeat_residual("block35", 0.17, count, (Conv(32),), (Conv(32), Conv(32, 3)), third)

    count, first, middle, last = block17
    second = (Conv(128), Conv(middle, (1, 7)), Conv(last, (7, 1)))
    blocks_17x17 = repeat_residual("block17", 0.10, count, (Conv(first),), second)

    count, middle, last = block8
    second = (Conv(192), Conv(middle, (1, 3)), Conv(last, (3, 1)))
    blocks_8x8 = repeat_residual("block8", 0.20, count, (Conv(192),), second)
    blocks_8x8[-1] = blocks_8x8[-1]._replace(scale=1.0, activation=None)

    single, middle, last = mixed_7a
    one_3x3 = (Conv(256), Conv(single, 3, *VALID_STRIDE_2))
    two_3x3 = (Conv(256), Conv(middle, 3), Conv(last, 3, *VALID_STRIDE_2))
    return (
        *STEM_START,
        single_branch("conv2d_2b", Conv(64, 3), Pool()),
        single_branch("conv2d_3b", Conv(80)),
        *start,
        *blocks_35x35,
        reduction,
        *blocks_17x17,
        numbered_branches("mixed_7a", (Conv(256), Conv(384, 3, *VALID_STRIDE_2)), one_3x3, two_3x3, (Pool(),)),
        *blocks_8x8,
        *end,
    )


RESNET_V1_MODULES = inception_resnet_modules(
    (single_branch("conv2d_4a", Conv(192, 3, *VALID)), single_branch("conv2d_4b", Conv(256, 3, *VALID_STRIDE_2))),
    block35=(5, 32, 32),
    reduction=reduction_a(192, 192, 256),
    block17=(10, 128, 128, 128),
    mixed_7a=(256, 256, 256),
    block8=(6, 192, 192),
)
MIXED_5B_BRANCHES = (Conv(96),), (Conv(48), Conv(64, 5)), (Conv(64), Conv(96, 3), Conv(96, 3)), (AVERAGE_POOL, Conv(64))
RESNET_V2_MODULES = inception_resnet_modules(
    (single_branch("conv2d_4a", Conv(192, 3, *VALID), Pool()), numbered_branches("mixed_5b", *MIXED_5B_BRANCHES)),
    block35=(10, 48, 64),
    reduction=reduction_a(256, 256, 384),
    block17=(20, 192, 160, 192),
    mixed_7a=(288, 288, 320),
    block8=(10, 224, 256),
    end=(single_branch("conv2d_7b", Conv(1536)),),
)
PAPER = "Szegedy et al. 2016, Inception-v4 and Inception-ResNet, arXiv:1602.07261"

VARIANTS = {
    "inception_v4": Inception(params=42_679_816, macs=12_253_974_624, modules=inception_v4_modules(), paper=PAPER),
    "inception_resnet_v1": Inception(
        params=23_995_624, macs=6_308_235_360, modules=RESNET_V1_MODULES, units=512, dropout=0.6, paper=PAPER
    ),
    "inception_resnet_v2": Inception(params=55_843_464, macs=13_155_794_016, modules=RESNET_V2_MODULES, paper=PAPER),
}
