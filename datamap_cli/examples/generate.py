"""Writes question_pairs.tsv: Chinese question pairs, labelled as same (1) or different (0) in meaning.

`python -m datamap_cli.examples.generate` rewrites the file byte for byte. Every sentence is our own.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TypeVar

SEED = 20
PLAIN, HARD, DIRTY = 0, 1, 2
COUNTS = {PLAIN: 1680, HARD: 160, DIRTY: 160}
"""Pairs by s_label; half of each are truly the same."""

T = TypeVar("T")


class Pair(NamedTuple):
    """One row of the file."""

    text_a: str
    text_b: str
    label: int
    s_label: int

    @property
    def true_label(self) -> int:
        """The label before a planted flip."""
        return 1 - self.label if self.s_label == DIRTY else self.label


class Topic(NamedTuple):
    """What is asked about, and the wordings of each intent, * standing for the name."""

    names: list[str]
    frequent: list[list[str]]
    rare: list[list[str]]


# A block per topic: the names, then an intent a line. Wordings on one line mean the same, those on two lines
# do not. Frequent questions (+) come back in other words; the rare ones mostly meet them as near misses:
# comparing two texts from scratch is out of reach of a tiny model, telling frequent from rare is not.
TOPICS = """
红烧肉 糖醋排骨 可乐鸡翅 酸菜鱼 麻婆豆腐
+ *怎么做 如何做* *怎么做才好吃 *怎样做好吃 *的家常做法 在家怎么做*
+ 做*要放什么调料 *里面放哪些调料 做*需要什么调料 *用什么调料好 做*用哪些调料
+ 减肥能吃*吗 减肥期间可以吃*吗 减肥的时候能不能吃* *减肥的人可以吃吗 减肥可不可以吃*
做*要多久 *要做多长时间 做一份*需要多长时间 *多久能做好 做*要花多长时间
*一份多少钱 一份*什么价格 *多少钱一份 饭店里*卖多少钱 一份*的价格是多少

成都 西安 厦门 桂林 三亚
+ *有什么好玩的地方 *有哪些景点 *哪里好玩 去*玩什么景点好 *有什么值得去的景点
+ 去*玩几天合适 *旅游需要几天 去*旅游要多久 *几天能玩完 去*玩需要多长时间
+ *有什么好吃的 *有哪些特色小吃 *的特色美食是什么 去*要吃什么小吃 *什么小吃最有名
去*旅游要多少钱 去*玩一趟要花多少钱 *旅游大概要多少费用 去*玩的费用是多少 *旅游一次多少钱
去*旅游住哪里方便 去*玩住在什么地方好 *旅游住哪儿比较好 到*玩酒店订在哪里好

华为手机 苹果手机 小米手机 三星手机 荣耀手机
+ *为什么发烫 *发热是什么原因 *为什么总是发热 *发烫怎么回事 为什么我的*会发烫
+ *换屏幕多少钱 *换一块屏幕要多少钱 *换屏什么价格 *换屏的价格是多少 *屏幕坏了换一个多少钱
+ *充满电要多久 *充一次电要多长时间 *多长时间能充满电 *充电需要多久 *充电要充多长时间
*怎么截屏 *如何截图 *怎样截屏 *截图的方法是什么 怎么用*截图
*在哪里可以维修 *坏了去哪儿修 *什么地方能修 附近哪里可以修* *售后维修点在哪里

工商银行 建设银行 招商银行 农业银行 交通银行
+ *早上几点开门 *几点上班 *早上什么时候开门 *什么时间开始营业 *几点开始营业
+ *客服电话是多少 *的客服号码是多少 *人工客服打什么电话 *的服务热线是多少 *客服打哪个电话
+ *转账手续费是多少 *转账要收多少钱 *转账收多少手续费 在*转账手续费多少钱 用*转账要花多少钱
*的卡怎么办理 如何办*的卡 怎么办一张*的卡 *银行卡怎样办理 想办*的卡怎么弄
*能贷款买车吗 *可以办车贷吗 *能不能办车贷 买车可不可以在*贷款 能在*贷款买车吗

顺丰 圆通 中通 韵达 申通
+ 寄*快递多少钱 *快递运费是多少 *寄东西什么价格 寄一个*快递要多少钱 *快递的价格是多少
+ *快递怎么查物流 如何查*快递到哪了 怎么查询*的单号 *快递怎样查询 *物流信息怎么查
+ 附近哪里有*快递 *快递网点在哪里 哪里可以寄*快递 *快递点在什么地方 寄*快递去哪儿
*快递几天能到 *快递要多久能到 *寄东西要多长时间 *快递多长时间送到 寄*快递几天可以到
*快递为什么这么慢 *快递慢是什么原因 *快递为何这么慢 *送货太慢怎么回事 为什么*快递这么慢

金毛 泰迪 柯基 哈士奇 边牧
+ 一只*多少钱 *多少钱一只 买一只*要多少钱 一只*什么价格 *的价格是多少 *一只要花多少钱
+ *多久洗一次澡 *几天洗一次澡 *多长时间洗一次澡 *洗澡多久一次合适 给*隔几天洗一次澡
+ *怎么训练 如何训练* 怎样训练* *的训练方法是什么 *应该怎么训练
*喂什么比较好 给*喂什么好 *平时喂什么 养*喂什么吃的好 *每天应该喂什么
*能活多少年 *能活多久 *的寿命是多长 *一般活几年 *寿命有多少年

英语 数学 物理 化学 语文
+ *怎么学好 如何学好* 怎样提高*成绩 怎么才能学好* *成绩怎么提高 学好*的方法是什么
+ *辅导书哪本好 *买哪本辅导书好 *用什么辅导书比较好 *哪本辅导书好用 *买什么辅导书好
+ 每天学*多久合适 *每天要学多长时间 一天学多久*比较好 每天花多长时间学*好 *一天学多长时间合适
*总是学不好是什么原因 为什么学不好* *为什么老是学不会 *学不好怎么回事 *成绩差是什么原因
*家教多少钱一小时 请*家教要多少钱 *家教一小时什么价格 请一个*家教多少钱 *家教的价格是多少

感冒 咳嗽 失眠 头疼 胃疼
+ *吃什么药好 *吃什么药管用 *吃哪种药好 *应该吃什么药 治*吃什么药
+ *能喝酒吗 *可以喝酒吗 *的时候能不能喝酒 *期间可不可以喝酒 *的人可以喝酒吗
+ *怎么缓解 如何缓解* *怎样才能缓解 *有什么缓解的方法 怎么减轻*
为什么会* *是什么原因 *是怎么引起的 老是*是什么原因 为什么总是* *是怎么回事
*挂什么科 *去医院看哪个科 *应该挂哪个科 *看什么科 *去医院挂哪个科

北京 上海 广州 武汉 南京
+ *今天天气怎么样 *今天天气如何 今天*是什么天气 *今天的天气怎样 今天*天气好不好
+ *明天会下雨吗 *明天下不下雨 明天*有没有雨 明天*会不会下雨 *明天有雨吗
+ *现在多少度 *现在气温是多少 现在*的温度是多少 *现在有几度 *现在气温多高
现在去*穿什么衣服 去*穿什么合适 *现在穿什么衣服好 这几天去*该穿什么 最近去*应该穿什么衣服
*什么时候入冬 *几月份入冬 *哪个月开始入冬 *一般什么时候进入冬天 *几月进入冬天

王者荣耀 和平精英 英雄联盟 我的世界 原神
+ *为什么这么卡 *很卡是什么原因 *卡顿怎么回事 玩*为什么会卡 为什么我的*这么卡
+ *在哪里下载 哪里可以下载* *去哪儿下载 *下载地址在哪里 从什么地方下载*
+ *密码忘了怎么找回 *忘记密码怎么办 *怎么找回密码 *密码忘了如何找回 怎样找回*的密码
*充值能退吗 *充的钱可以退吗 *充值能不能退款 *充值可不可以退钱 *充值的钱能退吗
*更新要多久 *更新需要多长时间 *多久能更新完 *更新要等多长时间 *更新一次要多久
"""

# Hard pairs, a family a line: the pairs, then behind a bar what * stands for in them, if they have one.
# The same meaning in hardly any shared words:
HARD_SAME = """
*好学吗/学*难不难 | 钢琴 吉他 编程 日语 会计 书法
*贵不贵/买*要花很多钱吗 | 投影仪 跑步机 按摩椅 扫地机器人 洗碗机
*可信吗/*会不会骗人 | 网上贷款 二手车平台 租房中介 婚介公司 理财软件
*伤身体吗/经常*对健康有害吗 | 熬夜 喝奶茶 吃泡面 久坐 喝可乐
*有什么好处/为什么要多* | 跑步 喝水 早睡 读书 晒太阳
*起皱了怎么办/怎么让*变平整 | 衬衫 裙子 西装 窗帘 床单
怎么快速入睡/晚上睡不着有什么办法 想瘦下来该怎么办/减肥有什么好方法
钱包落出租车上怎么办/东西忘在的士里如何找 孩子不爱吃饭咋办/宝宝厌食如何解决
电脑死机了怎么办/屏幕卡住不动如何处理 头发掉得厉害怎么办/脱发严重该如何治
脸上长痘怎么办/如何祛除青春痘 怎么戒烟/不想再抽烟了有啥招
无线网密码忘了/路由器口令记不得了 末班地铁几点发车/地铁最晚开到什么时候
身上起红疹子怎么办/皮肤过敏长疙瘩咋治 看不清黑板怎么办/近视了该如何是好
附近有什么好吃的/周边哪家馆子不错 怎么赚钱快/有啥来钱的路子
普通话怎么说得标准/发音不准如何改善 上班迟到扣钱吗/晚到公司会不会罚款
工资几号发/每月哪天领薪水 下水道堵了怎么办/水池排不出水咋处理
衣服上有油渍怎么洗/如何去除衣物污迹 怎么让头发长得快/如何加速毛发生长
房间有蚊子怎么办/如何驱赶屋里的飞虫 晕车怎么办/坐车老想吐有啥法子
口臭怎么去除/嘴里有异味咋办 怎么开公司/注册企业需要哪些步骤
网速慢怎么办/上网太卡如何提速 如何写简历/求职材料该怎么准备
结婚送什么礼物/参加婚礼带啥好 孩子几岁上小学/多大可以念一年级
菜太咸了怎么办/盐放多了如何补救 手脚冰凉怎么办/四肢发冷如何调理
打嗝停不下来/怎么止住呃逆 脚后跟干裂怎么办/足跟开口子擦什么
用什么软件叫车/打的士哪个应用好 手机掉水里咋办/电话进水如何处理
丢件了怎么赔/包裹遗失能获得多少补偿 租房押金不退怎么办/房东扣着保证金不给
猫咪乱尿怎么办/喵星人随地小便咋教 作业太多写不完/功课做到半夜怎么办
考试紧张怎么办/上考场心慌如何克服 背单词老忘怎么办/英文词汇记不住咋整
明天冷不冷/明日气温低吗 雨天开车要注意什么/路滑怎么驾驶才安全
汽车多久保养一次/车子开几个月做维护
轮胎扎钉了怎么办/车胎被戳破咋补 玩游戏老掉线/打着打着就断网怎么回事
"""

# Another meaning, though one word or their order decides:
HARD_DIFFERENT = """
北京到上海*/上海到北京* 广州到南宁*/南宁到广州* 西安到兰州*/兰州到西安* | 坐火车多久 机票多少钱 怎么坐车 末班车几点
*能吃什么水果/*不能吃什么水果 | 感冒 发烧 胃疼 孕妇 咳嗽 鼻炎
*为什么上涨/*为什么下跌 | 房价 油价 金价 股市 猪肉价格
怎么打开*/怎么关闭* | 手机定位 免密支付 自动续费 通知提醒 飞行模式 夜间模式
*几点开门/*几点关门 | 图书馆 博物馆 超市 菜市场 动物园
*怎么调大/*怎么调小 | 手机字体 电脑音量 屏幕亮度 文档行距
*偏高怎么办/*偏低怎么办 | 血压 血糖 体温 心率
早上*好吗/晚上*好吗 | 跑步 洗头 喝牛奶 吃苹果
怎么卖*/怎么买* | 二手车 旧手机 黄金 基金
怎么添加*/怎么删除* | 微信好友 日历提醒 电脑字体
男生*/女生* | 学什么专业好 穿什么鞋好看 留什么发型好
左边*/右边* | 头疼怎么回事 牙疼怎么办 肚子疼是什么原因
猪肉*/牛肉* | 炖多久能烂 怎么切 一斤多少钱
苹果手机*/苹果电脑* | 怎么录屏 怎么关机 电池能用多久
建设银行*/招商银行* | 客服电话是多少 早上几点开门 周末上班吗
怎么快速增肥/怎么快速减肥 公积金怎么转出/公积金怎么转入
农历怎么换成公历/公历怎么换成农历 美元换人民币怎么算/人民币换美元怎么算
怎么把英语翻译成中文/怎么把中文翻译成英语 向朋友借钱怎么写欠条/借钱给朋友怎么写欠条
怎么向左转弯/怎么向右转弯 高铁提前多久进站/高铁提前多久检票
寒假什么时候放假/寒假什么时候开学 网上怎么买火车票/网上怎么退火车票
手机系统怎么升级/手机系统怎么降级 跨行存钱收手续费吗/跨行取钱收手续费吗
下雨前为什么闷热/下雨后为什么闷热 怎么给狗剪指甲/怎么给猫剪指甲
"""

PREFIXES = ("请问", "想问一下", "求问", "我想知道")
SUFFIXES = ("？", "呢", "啊")
# 呢 and 啊 only after a question word that closes the sentence
TAKES_PARTICLE = ("钱", "怎么办", "什么", "久", "哪里", "哪儿", "几天", "几点", "多少", "怎么回事", "合适")


def pairs(seed: int = SEED) -> list[Pair]:
    """All pairs in the order of the file; no two of them ask the same two questions."""
    rng = random.Random(seed)  # noqa: S311  a data set, not a secret
    topics = _topics()
    plain = {1: _same(topics, rng), 0: _other_intent(topics, rng)}
    hard = {
        1: chain(_rare_same(topics, rng), _shuffled(_listed(HARD_SAME), rng)),
        0: iter(_shuffled(_listed(HARD_DIFFERENT), rng)),
    }
    seen: set[frozenset[str]] = set()
    rows: list[Pair] = []
    for s_label, count in COUNTS.items():
        for true_label in (0, 1):
            texts = hard[true_label] if s_label == HARD else plain[true_label]
            label = 1 - true_label if s_label == DIRTY else true_label
            for pair in islice(_unseen(texts, seen), count // 2):
                text_a, text_b = (_spoken(text, rng) for text in _shuffled(pair, rng))
                rows.append(Pair(text_a, text_b, label, s_label))
    return _shuffled(rows, rng)


def tsv(rows: Iterable[Pair]) -> str:
    """The file's text: a header, then a pair a line, unquoted."""
    lines = [Pair._fields, *rows]
    return "".join("\t".join(map(str, line)) + "\n" for line in lines)


def _topics() -> list[Topic]:
    blocks = [block.splitlines() for block in TOPICS.strip().split("\n\n")]
    return [
        Topic(
            names.split(),
            frequent=[line.split()[1:] for line in lines if line.startswith("+")],
            rare=[line.split() for line in lines if not line.startswith("+")],
        )
        for names, *lines in blocks
    ]


def _same(topics: list[Topic], rng: random.Random) -> Iterator[tuple[str, str]]:
    """Two wordings of one frequent intent, without end; repeats occur."""
    while True:
        topic = _choice(topics, rng)
        name = _choice(topic.names, rng)
        a, b, *_ = _shuffled(_choice(topic.frequent, rng), rng)
        yield a.replace("*", name), b.replace("*", name)


def _rare_same(topics: list[Topic], rng: random.Random) -> Iterator[tuple[str, str]]:
    """Two wordings of each rare intent: hard, as elsewhere these stand in different pairs only."""
    for topic in topics:
        for wordings in topic.rare:
            name = _choice(topic.names, rng)
            a, b, *_ = _shuffled(wordings, rng)
            yield a.replace("*", name), b.replace("*", name)


def _other_intent(topics: list[Topic], rng: random.Random) -> Iterator[tuple[str, str]]:
    """A frequent and a rare question on one thing, without end; repeats occur."""
    while True:
        topic = _choice(topics, rng)
        name = _choice(topic.names, rng)
        a, b = (_choice(_choice(intents, rng), rng) for intents in (topic.frequent, topic.rare))
        yield a.replace("*", name), b.replace("*", name)


def _listed(families: str) -> list[tuple[str, str]]:
    """The pairs of HARD_SAME or HARD_DIFFERENT."""
    lines = [line.partition(" | ") for line in families.strip().splitlines()]
    return [
        (a.replace("*", name), b.replace("*", name))
        for pairs_of_line, _, names in lines
        for a, b in (pair.split("/") for pair in pairs_of_line.split())
        for name in names.split() or [""]
    ]


def _unseen(texts: Iterable[tuple[str, str]], seen: set[frozenset[str]]) -> Iterator[tuple[str, str]]:
    """The pairs that are not in `seen` in either order; they are added to it."""
    for pair in texts:
        if frozenset(pair) not in seen:
            seen.add(frozenset(pair))
            yield pair


def _spoken(text: str, rng: random.Random) -> str:
    """The question as someone might type it: now and then with a polite opening, a particle or a mark."""
    if rng.random() < 0.12:
        text = _choice(PREFIXES, rng) + text
    if rng.random() < 0.2:
        suffix = _choice(SUFFIXES, rng)
        if suffix == "？" or text.endswith(TAKES_PARTICLE):
            text += suffix
    return text


# Of Python's generator only random() is promised to give the same numbers in every version.
def _choice(items: Sequence[T], rng: random.Random) -> T:
    return items[int(rng.random() * len(items))]


def _shuffled(items: Iterable[T], rng: random.Random) -> list[T]:
    return sorted(items, key=lambda _: rng.random())


def main() -> None:
    Path(__file__).with_name("question_pairs.tsv").write_bytes(tsv(pairs()).encode())


if __name__ == "__main__":
    main()
