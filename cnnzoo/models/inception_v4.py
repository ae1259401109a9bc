"""Inception v4 and Inception-ResNet v1 and v2 (Szegedy, Ioffe, Vanhoucke, Alemi 2016)."""

from cnnzoo.models.inception import Conv, Inception, Pool, numbered_branches, single_branch

VALID, VALID_STRIDE_2 = (1, "valid"), (2, "valid")
AVERAGE_POOL = Pool("average", 3, 1)
STEM_START = single_branch("conv2d_1a", Conv(32, 3, *VALID_STRIDE_2)), single_branch("conv2d_2a", Conv(32, 3, *VALID))


def reduction_a(first, second, third):
    """Reduction-A: figure 7, with k, l and m of table 1; n is 384 here."""
    return numbered_branches(
        "mixed_6a",
        (Conv(384, 3, *VALID_STRIDE_2),),
        (Conv(first), Conv(second, 3), Conv(third, 3, *VALID_STRIDE_2)),
        (Pool(),),
    )


def inception_v4_modules():
    """Figure 9, with the stem of figure 3."""
    wide, tall = Conv(224, (1, 7)), Conv(224, (7, 1))
    double = (Conv(64), Conv(96, 3), Conv(96, 3))
    a = (Conv(96),), double[:2], double, (AVERAGE_POOL, Conv(96))
    b = (
        (Conv(384),),
        (Conv(192), wide, Conv(256, (7, 1))),
        (Conv(192), Conv(192, (7, 1)), wide, tall, Conv(256, (1, 7))),
        (AVERAGE_POOL, Conv(128)),
    )
    fork = (Conv(256, (1, 3)), Conv(256, (3, 1)))
    third = (Conv(384), Conv(448, (3, 1)), Conv(512, (1, 3)), fork)
    c = (Conv(256),), (Conv(384), fork), third, (AVERAGE_POOL, Conv(256))
    last, small = Conv(96, 3, *VALID), (Conv(64), Conv(64, (1, 7)), Conv(64, (7, 1)))
    large = (Conv(256), Conv(256, (1, 7)), Conv(320, (7, 1)), Conv(320, 3, *VALID_STRIDE_2))
    return (
        *STEM_START,
        single_branch("conv2d_2b", Conv(64, 3)),
        numbered_branches("mixed_3a", (Pool(),), (Conv(96, 3, *VALID_STRIDE_2),)),
        numbered_branches("mixed_4a", (Conv(64), last), (*small, last)),
        numbered_branches("mixed_5a", (Conv(192, 3, *VALID_STRIDE_2),), (Pool(),)),
        *(numbered_branches(f"mixed_5{i}", *a) for i in "bcde"),
        reduction_a(192, 224, 256),
        *(numbered_branches(f"mixed_6{i}", *b) for i in "bcdefgh"),
        numbered_branches("mixed_7a", (Conv(192), Conv(192, 3, *VALID_STRIDE_2)), large, (Pool(),)),
        *(numbered_branches(f"mixed_7{i}", *c) for i in "bcd"),
    )


def inception_resnet_modules(start, block35, reduction, block17, mixed_7a, block8, end=()):
    """Figure 15: residual modules of three sizes, each given as (how many, filters that vary)."""

    def repeat(name, scale, count, *branches):
        return [numbered_branches(f"{name}_{i}", *branches, scale=scale) for i in range(1, count + 1)]

    count, *f = block35
    a = repeat("block35", 0.17, count, (Conv(32),), (Conv(32), Conv(32, 3)), (Conv(32), Conv(f[0], 3), Conv(f[1], 3)))
    count, one, *f = block17
    b = repeat("block17", 0.10, count, (Conv(one),), (Conv(128), Conv(f[0], (1, 7)), Conv(f[1], (7, 1))))
    count, *f = block8
    c = repeat("block8", 0.20, count, (Conv(192),), (Conv(192), Conv(f[0], (1, 3)), Conv(f[1], (3, 1))))
    c[-1] = c[-1]._replace(scale=1.0, activation=None)
    one, two, three = mixed_7a
    second, third = (
        (Conv(256), Conv(one, 3, *VALID_STRIDE_2)),
        (Conv(256), Conv(two, 3), Conv(three, 3, *VALID_STRIDE_2)),
    )
    return (
        *STEM_START,
        single_branch("conv2d_2b", Conv(64, 3), Pool()),
        single_branch("conv2d_3b", Conv(80)),
        *start,
        *a,
        reduction,
        *b,
        numbered_branches("mixed_7a", (Conv(256), Conv(384, 3, *VALID_STRIDE_2)), second, third, (Pool(),)),
        *c,
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
