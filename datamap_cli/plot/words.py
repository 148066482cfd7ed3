"""Every word of the figure, in English and Chinese. Names of signals stay as they are: they are identifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Language = Literal["en", "zh"]

_WORDS: dict[str, tuple[str, str]] = {
    "data map": ("Data map: {name}", "数据地图：{name}"),
    "count": ("count", "数量"),
    # the subtitle
    "example": ("{count:,} example", "{count:,} 条样本"),
    "examples": ("{count:,} examples", "{count:,} 条样本"),
    "evaluation": ("{count:,} evaluation", "{count:,} 次评估"),
    "evaluations": ("{count:,} evaluations", "{count:,} 次评估"),
    "all drawn": ("{total}, all drawn", "{total}，全部绘出"),
    "some drawn": ("{passing:,} of {total}", "{total}中的 {passing:,} 条"),
    "filtered": ("{who}: {conditions}", "{who}：{conditions}"),
    "density": (
        "density of all, and {points:,} of them as points",
        "底层为全部样本的密度，其上 {points:,} 条绘为点",
    ),
    "complete": ("every one of {names}", "{names} 全部绘为点"),
    "valueless": ("{count:,} without a value of {names} not drawn", "{count:,} 条缺少 {names} 的值，未绘出"),
    "rings": ("rings around {shown:,} of {marked:,} marked", "{marked:,} 条标记样本中 {shown:,} 条加圈"),
    "and": (" and ", " 且 "),
    "or": (" or ", " 或 "),
    "comma": (", ", "、"),
    "semicolon": ("; ", "；"),
    # an empty map
    "none has": ("no example has {wanted}", "没有样本满足 {wanted}"),
    "value of": ("a value of {signal}", "{signal} 有值"),
    "no examples": ("there are no examples", "没有样本"),
    # the legend
    "all": ("all", "全部"),
    "never right": ("{count}: never right (−)", "{count}：从未正确（−）"),
    "always right": ("{count}: always right", "{count}：始终正确"),
    "kept": ("{count}: learnt, kept (−+)", "{count}：学会后未忘（−+）"),
    "lost": ("{count}: forgotten, not relearnt (+−)", "{count}：遗忘后未重学（+−）"),
    "true": ("true", "是"),
    "false": ("false", "否"),
    "others": ("{count:,} others", "其余 {count:,} 类"),
    "no value": ("no value", "无值"),
    "s_label 0": ("plain", "普通"),
    "s_label 1": ("hard", "困难"),
    "s_label 2": ("planted dirty", "人为脏数据"),
    # the regions, Swayamdipta 2020
    "easy-to-learn": ("easy-to-learn", "易学"),
    "ambiguous": ("ambiguous", "模糊"),
    "hard-to-learn": ("hard-to-learn", "难学"),
    "easy-to-learn, short": ("easy", "易"),
    "ambiguous, short": ("amb.", "模"),
    "hard-to-learn, short": ("hard", "难"),
}


class Words:
    """The words in one language."""

    def __init__(self, language: Language) -> None:
        self._place = 0 if language == "en" else 1

    def __call__(self, key: str, **values: object) -> str:
        return _WORDS[key][self._place].format(**values)

    def several(self, number: int, what: str) -> str:
        """`1 example`, `2 examples`."""
        return self(what if number == 1 else f"{what}s", count=number)

    def joined(self, texts: Sequence[str], by: str) -> str:
        return self(by).join(texts)


def heading(name: str, language: Language) -> str:
    """What stands above the map of `name`."""
    return Words(language)("data map", name=name)
