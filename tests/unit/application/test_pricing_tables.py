"""Prices as they are written down: what an item says, where it holds, and what is wrong with it."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.resources import files

import pytest

from otel_cost import pricing
from otel_cost.pricing import catalogue, names, sources, tables
from otel_cost.pricing.draft import draw_up
from otel_cost.pricing.tables import Asked, Table
from otel_cost.usage import Usage

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
MILLION = Usage(1_000_000, 0)


def table(text: str) -> Table:
    return tables.read(text, "prices.toml", "file:prices.toml")


def cost_of(
    text: str,
    usage: Usage = MILLION,
    *,
    provider: str = "openai",
    model: str = "gpt-4o",
    tier: str | None = None,
    terms: dict[str, str] | None = None,
    at: datetime = AT,
) -> tuple[Decimal | None, list[str]]:
    own = table(text)
    assert own.problems == ()
    asked = Asked(tuple(names.spellings(provider, model)), tier, terms or {}, at)
    plan = draw_up(asked, catalogue.find(provider, model), [own])
    return (None, []) if plan is None else plan.cost(usage)


def item(text: str = "", *, provider: str = '"openai"', model: str = '"gpt-4o"') -> str:
    return f"[[price]]\nprovider = {provider}\nmodel = {model}\n{text}\n"


def test_what_is_stated_goes_over_what_is_published_and_the_rest_stays() -> None:
    # gpt-4o is published at 2.50, cached 1.25, output 10
    usage = Usage(1_000_000, 1_000_000, 400_000)
    assert cost_of(item("input = 2"), usage) == (600_000 * Decimal("2E-6") + 400_000 * Decimal("1.25E-6") + 10, [])


def test_a_model_that_nobody_publishes() -> None:
    text = item("input = 0.5\noutput = 1.5", provider='"vllm.example.com"', model='"llama-*-instruct"')
    own = {"provider": "vllm.example.com", "model": "Llama-9-Instruct"}
    assert cost_of(text, Usage(1_000, 1_000), **own) == (Decimal("0.002"), [])
    assert cost_of(text, Usage(web_searches=1), **own) == (None, ["web searches"])
    assert cost_of(text, provider="vllm.example.com", model="mistral-9") == (None, [])


@pytest.mark.parametrize(
    ("provider", "model", "holds"),
    [
        ('"openai"', '"gpt-4o"', True),
        ('"OpenAI"', '"GPT-4O"', True),
        ('["anthropic", "openai"]', '["claude-*", "gpt-*"]', True),
        ('"*"', '"*"', True),
        ('"azure.ai.openai"', '"gpt-4o"', False),
        ('"openai"', '"gpt-4"', False),
        ('"openai"', '"gpt-4o-*"', False),
    ],
)
def test_whose_prices_of_which_models(provider: str, model: str, *, holds: bool) -> None:
    amount, _ = cost_of(item("input = 7", provider=provider, model=model))
    assert amount == (7 if holds else Decimal("2.5"))


def test_a_later_item_goes_over_an_earlier_one() -> None:
    assert cost_of(item("input = 7") + item("input = 8"))[0] == 8


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("from = 2026-11-01", True),
        ("from = 2026-11-02", False),
        ("until = 2026-11-01", False),
        ("until = 2026-11-02", True),
        ("from = 2026-11-01T12:00:00Z", True),
        ("from = 2026-11-01T14:00:00+01:00", False),
        ("from = 2026-11-01T12:00:01", False),
        ('days = ["sat", "sunday"]', True),  # it was a Sunday
        ('days = "mon"', False),
        ('hours = "11:30-12:30"', True),
        ('hours = "12:30-13:30"', False),
        ('hours = "22:00-12:30"', True),
        ('hours = "22:00-06:00"', False),
    ],
)
def test_when_an_item_holds(when: str, *, holds: bool) -> None:
    assert cost_of(item(f"input = 7\n{when}"))[0] == (7 if holds else Decimal("2.5"))


def test_every_class_of_tokens_and_unit_can_be_stated() -> None:
    stated = """
        input = 1
        cache_read = 2
        cache_write = 3
        cache_write_5m = 4
        cache_write_1h = 5
        input_audio = 6
        cache_read_audio = 7
        input_image = 8
        cache_read_image = 9
        input_video = 10
        output = 11
        reasoning = 12
        output_audio = 13
        output_image = 14
        web_search = 0.01
        file_search = 0.02
        rerank_search = 0.03
        audio_minute = 0.6
        request = 0.5
    """
    usage = Usage(
        input_tokens=9_000_000,
        cache_read_tokens=3_000_000,
        cache_write_tokens=3_000_000,
        cache_write_5m_tokens=1_000_000,
        cache_write_1h_tokens=1_000_000,
        input_audio_tokens=2_000_000,
        cache_read_audio_tokens=1_000_000,
        input_image_tokens=2_000_000,
        cache_read_image_tokens=1_000_000,
        input_video_tokens=1_000_000,
        output_tokens=4_000_000,
        reasoning_tokens=1_000_000,
        output_audio_tokens=1_000_000,
        output_image_tokens=1_000_000,
        web_searches=1,
        file_searches=1,
        rerank_searches=1,
        audio_seconds=1,
    )
    # One million of each class: input 9 = 3 cached (1 audio, 1 image) + 3 written (1 for 5 minutes, 1 for an hour)
    # + 1 audio + 1 image + 1 video, so nothing is left of the plain input; output 4 = 3 + 1 plain.
    tokens = 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 + 11 + 12 + 13 + 14
    assert cost_of(item(stated), usage) == (tokens + Decimal("0.01") * 6 + Decimal("0.01") + Decimal("0.5"), [])
    for unit, seconds in (("second", 1), ("minute", 60), ("hour", 3_600)):
        assert cost_of(item(f"audio_{unit} = 9"), Usage(audio_seconds=seconds))[0] == 9
    assert cost_of(item("audio_second = 1\nleast_seconds = 10"), Usage(audio_seconds=4))[0] == 10
    assert cost_of(item("audio_second = 1\nleast_seconds = 10"), Usage(audio_seconds=0))[0] == 0


def test_a_longer_input_can_cost_more() -> None:
    text = item("input = 1\noutput = 2") + item("above = 200_000\ninput = 3") + item("above = 400_000\ninput = 5")
    assert cost_of(text, Usage(200_000))[0] == Decimal("0.2")
    assert cost_of(text, Usage(200_001, 1_000_000))[0] == Decimal("2.600003")
    assert cost_of(text, Usage(500_000))[0] == Decimal("2.5")
    # Nothing costs more than what has no price.
    assert cost_of(
        item("above = 9\ncache_write = 3\nrequest = 1", provider='"me"', model='"own"'), provider="me", model="own"
    ) == (
        None,
        ["input tokens"],
    )


def test_a_service_tier_has_prices_of_its_own() -> None:
    text = item('service_tier = ["batch", "flex"]\ninput = 1') + item("input = 3")
    assert cost_of(text, tier="batch") == (1, [])
    assert cost_of(text, tier="flex") == (1, [])
    assert cost_of(text) == (3, [])
    assert cost_of(text, tier="golden") == (3, ["service tier 'golden'"])
    assert cost_of(item('service_tier = "standard"\ninput = 4') + item("input = 3")) == (4, [])
    # gpt-4o is published at 4.25 for priority: what is stated for no tier does not go over that.
    assert cost_of(text, tier="priority") == (Decimal("4.25"), [])


def test_what_is_stated_for_no_tier_does_not_go_over_a_tier_s_share_of_the_published_price() -> None:
    share = tables.read(item('service_tier = "batch"\ntoken_factor = 0.5'), "ours", "ours")
    own = table(item("input = 3\ncache_write = 4"))
    plan = draw_up(Asked((("openai", "gpt-4o"),), "batch", {}, AT), None, [table(item("input = 2.5")), share, own])
    assert plan is not None
    assert plan.cost(MILLION) == (Decimal("1.25"), [])
    assert plan.cost(Usage(1_000_000, 0, 0, 1_000_000)) == (4, [])


def test_prices_for_calls_on_terms() -> None:
    text = item('when = { data_zone = "eu" }\ninput = 9')
    assert cost_of(text, terms={"data_zone": "eu"}) == (9, [])
    assert cost_of(text, terms={"data_zone": "us"}) == (Decimal("2.5"), ["data_zone 'us'"])
    assert cost_of(text) == (Decimal("2.5"), [])


def test_prices_for_calls_on_terms_by_patterns() -> None:
    text = item('when = { location = ["eu", "europe-*"] }\ninput = 9')
    assert cost_of(text, terms={"location": "eu"}) == (9, [])
    assert cost_of(text, terms={"location": "europe-west1"}) == (9, [])
    assert cost_of(text, terms={"location": "us-east5"}) == (Decimal("2.5"), ["location 'us-east5'"])
    assert cost_of(text, terms={"speed": "eu"}) == (Decimal("2.5"), ["speed 'eu'"])


def test_who_states_what_a_model_costs_leaves_no_doubt_which_one_it_is() -> None:
    dated = "gpt-4o-mini-tts-2031-01-31"
    assert cost_of(item("input = 9"), model=dated) == (Decimal("0.6"), ["this version of the model"])
    assert cost_of(item("input = 9", model='"gpt-4o-mini-tts-*"'), model=dated) == (9, [])


def test_a_discount_is_on_what_is_published_and_not_on_what_is_stated() -> None:
    usage = Usage(1_000_000, 1_000_000, web_searches=1)
    # gpt-4o is published at 2.50 and 10, a web search at 0.01
    assert cost_of(item('discount = "15%"'), usage)[0] == Decimal("0.85") * (Decimal("12.5") + Decimal("0.01"))
    assert cost_of(item('discount = "15 %"\ninput = 2'), usage)[0] == 2 + Decimal("0.85") * Decimal("10.01")
    assert cost_of(item('discount = "12.5%"') + item('discount = "50%"'), usage)[0] == Decimal("6.255")
    assert cost_of(item('discount = "100%"'), usage) == (0, [])
    assert cost_of(item('discount = "10%"'), MILLION, tier="priority")[0] == Decimal("3.825")
    assert cost_of(item('discount = "10%"\nservice_tier = "batch"'), MILLION)[0] == Decimal("2.5")
    perplexity = {"provider": "perplexity", "model": "sonar"}  # 12 for 1,000 requests in the published table
    assert cost_of(item('discount = "50%"', provider='"pplx"', model='"sonar"'), Usage(), **perplexity)[0] == Decimal(
        "0.006"
    )


def test_a_factor_is_on_every_price_of_a_token() -> None:
    usage = Usage(1_000_000, 0, web_searches=1)
    assert cost_of(item("token_factor = 1.1\ninput = 2"), usage)[0] == Decimal("2.21")
    assert cost_of(item("token_factor = 1.1"), usage)[0] == Decimal("2.76")


@pytest.mark.parametrize(
    ("written", "line", "reason"),
    [
        ("input = -1", 5, "input: it must be an amount in US dollars, as in 2.50"),
        ("input = true", 5, "input: it must be an amount in US dollars"),
        ("input = nan", 5, "input: it must be an amount in US dollars"),
        ('input = "2.50"', 5, "input: it must be an amount in US dollars"),
        ("input = 1\nprompt = 2", 6, "prompt: no such key; there are provider, model, service_tier"),
        ('input = 1\ndiscount = "half"', 6, 'discount: it must be a share of the price, as in "15%"'),
        ('discount = "101%"', 5, "discount: it must be a share"),
        ("discount = 0.15", 5, "discount: it must be a share"),
        (
            'input = 1\nfrom = "2026-01-01"',
            6,
            "from: it must be a date or a time in UTC, as in 2026-01-31, without quotes",
        ),
        ("input = 1\nfrom = 2026-02-01\nuntil = 2026-01-01", 7, "until: it must be later than from"),
        ("input = 1\nabove = 2.5", 6, "above: it must be a count, as in 200_000"),
        ("input = 1\nabove = -2", 6, "above: it must be a count"),
        ("input = 1\nservice_tier = 3", 6, "service_tier: it must be a text, or a list of them"),
        ("input = 1\nservice_tier = []", 6, "service_tier: it must be a text, or a list of them"),
        ('input = 1\nwhen = "us"', 6, "when: it must be a table of texts"),
        ("input = 1\nwhen = { location = 3 }", 6, "when: it must be a text, or a list of them"),
        ('input = 1\ndays = ["sat", "someday"]', 6, 'days: it must be days of the week, as in ["sat", "sun"]'),
        ('input = 1\nhours = "morning"', 6, 'hours: it must be a time of day in UTC, as in "16:30-00:30"'),
        ("input = 1\nhours = 3", 6, "hours: it must be a time of day in UTC"),
        ("", 2, "it states neither a price nor a discount"),
        ("input = …", 5, "Invalid value"),
        ("input = 1\ninput = 2", 6, "Cannot overwrite a value"),
    ],
)
def test_a_bad_item_is_said_with_its_line_and_the_others_hold(written: str, line: int, reason: str) -> None:
    text = "# ours\n" + item(written) + item("output = 9")
    found = table(text)
    assert len(found.items) == 1
    assert found.items[0].prices == {"output_tokens": Decimal("0.000009")}
    (problem,) = found.problems
    assert problem.startswith(f"prices.toml:{line}: {reason}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[price]]\nmodel = 'x'\ninput = 1", "prices.toml:1: provider is missing"),
        ("[[price]]\nprovider = 'x'\ninput = 1", "prices.toml:1: model is missing"),
        ("input = 1\n", "prices.toml:1: write [[price]] above the keys of each price"),
        ("price = 3\n", "prices.toml:1: write [[price]] above the keys of each price"),
        ("price = [3]\n", "prices.toml:1: write [[price]] above the keys of each price"),
        ("<html>sorry</html>", "prices.toml:1: "),
    ],
)
def test_what_is_no_price_is_said(text: str, problem: str) -> None:
    found = table(text)
    assert found.items == ()
    assert len(found.problems) == 1
    assert found.problems[0].startswith(problem)


def test_items_can_stand_one_a_line() -> None:
    found = table(
        'price = [\n  { provider = "a", model = "b", input = 1 },\n  { provider = "a", model = "c", input = 2 },\n]\n'
    )
    assert [item.models for item in found.items] == [("b",), ("c",)]


def test_the_version_of_a_table_is_that_of_its_text() -> None:
    one, same, other = table(item("input = 1")), table(item("input = 1")), table(item("input = 2"))
    assert one.version == same.version != other.version
    assert one.version.startswith("file:prices.toml@")


def test_the_lines_to_add_for_a_model_are_a_price_file_once_amounts_are_filled_in() -> None:
    lines = pricing.lines_to_add("aws.bedrock", 'my "own"\nmodel')
    assert table(lines).items == ()
    found = table(lines.replace("…", "3"))
    assert found.problems == ()
    assert found.items[0].providers == {"aws"}
    assert found.items[0].models == ('my "own"\nmodel',)


class TestOurFacts:
    """The table that ships."""

    def test_each_names_its_source_and_the_day(self) -> None:
        text = (files("otel_cost.pricing") / "facts.toml").read_text("utf-8")
        facts = tables.tomllib.loads(text)["price"]
        assert len(facts) == len(sources.facts().items)
        for fact in facts:
            assert fact["source"].startswith("https://")
            assert date(2026, 11, 22) <= fact["checked"] <= datetime.now(UTC).date() + timedelta(days=1)

    def test_its_version_is_its_day(self) -> None:
        assert sources.facts().version == "otel-cost/2026-11-23"
        cost = pricing.price(provider="cohere", model="rerank-v3.5", usage=Usage(rerank_searches=1))
        assert cost.price_version == "otel-cost/2026-11-23"

    @pytest.mark.parametrize(
        ("provider", "model", "tier", "usage", "expected"),
        [
            # input 0.30, a tenth of it where cached, output 0.90: 1,000 x 0.30 + 9,000 x 0.03 + 400 x 0.90
            ("mistral", "codestral-latest", None, Usage(10_000, 400, 9_000), "0.00093"),
            # input 0.50, output 1.50: 1,000 x 0.50 + 9,000 x 0.05 + 400 x 1.50
            ("mistral", "mistral-large-latest", None, Usage(10_000, 400, 9_000), "0.00155"),
            # 2.5 times the standard 5, 0.50 and 30; beyond 272,000 tokens twice the long price of 10, 1 and 45
            ("azure", "gpt-5.5", "priority", Usage(10_000, 400, 9_000), "0.05375"),
            ("azure", "gpt-5.5", "priority", Usage(300_000, 4_000, 50_000), "5.46"),
            # input 1.25, cached 0.20, output 2.50; twice that from 200,000 tokens on; a batch a fifth less
            ("xai", "grok-4.20-reasoning", None, Usage(10_000, 400, 9_000), "0.00405"),
            ("xai", "grok-4.20-reasoning", None, Usage(200_000, 1_000, 50_000), "0.4"),
            ("xai", "grok-4.20-reasoning", "batch", Usage(10_000, 400, 9_000), "0.00324"),
            # input 2.50, and 25 for 1,000 searches
            ("openai", "gpt-4o-search-preview", None, Usage(1_000, web_searches=1), "0.0275"),
            # input 10, cached 0.25, output 50; a batch is half of it
            ("anthropic", "claude-mythos-5-1", None, Usage(5_000, 800, 4_000), "0.051"),
            ("anthropic", "claude-mythos-5-1", "batch", Usage(5_000, 800, 4_000), "0.0255"),
            ("zai", "glm-4.7-flash", None, Usage(5_000, 800), "0"),
            # text 0.12, pictures 0.47
            ("cohere", "embed-v4.0", None, Usage(1_500, input_image_tokens=1_000), "0.00053"),
            # input 0.12
            ("aws", "cohere.embed-v4:0", None, Usage(100_000), "0.012"),
        ],
    )
    def test_each_is_the_published_price(
        self, provider: str, model: str, tier: str | None, usage: Usage, expected: str
    ) -> None:
        cost = pricing.price(provider=provider, model=model, usage=usage, service_tier=tier, at=AT)
        assert (cost.amount, cost.status) == (Decimal(expected), "known")

    def test_each_provider_is_one(self) -> None:
        listed = {provider.id for provider in catalogue.load().providers}
        assert all(item.providers <= listed for item in sources.facts().items)

    def test_each_changes_a_cost(self) -> None:
        """A fact that the published table has learned is to be taken out."""
        facts = sources.facts()
        idle = [fact for fact in facts.items if not any(_matters(fact, facts, model) for model in fact.models)]
        assert idle == []


def _matters(fact: tables.Item, facts: Table, pattern: str) -> bool:
    """Whether a call for which `fact` holds costs other than without it."""
    usages = [
        Usage(600_000, 1, 200_000, 200_000, 100_000, 100_000),
        Usage(600_000, 600_000, 0, 0, 0, 0, 0, 300_000, 0, 300_000),
    ]
    usages += [
        Usage(1_000, 1_000, 500),
        Usage(web_searches=1),
        Usage(rerank_searches=1),
        Usage(1_000, input_image_tokens=500),
        Usage(audio_seconds=1),
        Usage(),
    ]
    others = Table("", tuple(other for other in facts.items if other is not fact))
    for provider in fact.providers:
        for model in _models_of(provider, pattern):
            for moment in (
                AT,
                datetime(2026, 10, 2, 2, tzinfo=UTC),
                datetime(2026, 11, 22, 2, tzinfo=UTC),
                datetime(2026, 11, 18, 2, tzinfo=UTC),
                datetime(2026, 11, 18, 7, tzinfo=UTC),
                datetime(2026, 7, 1, 2, tzinfo=UTC),
                datetime(2025, 9, 10, 2, tzinfo=UTC),
            ):
                terms = {name: patterns[0].replace("*", "x") for name, patterns in fact.terms.items()}
                asked = Asked(((provider, model),), next(iter(fact.tiers), None), terms, moment)
                listed = catalogue.find(provider, model)
                with_it, without = draw_up(asked, listed, [facts]), draw_up(asked, listed, [others])
                if with_it is not None and (
                    without is None or any(with_it.cost(usage) != without.cost(usage) for usage in usages)
                ):
                    return True
    return False


def _models_of(provider: str, pattern: str) -> list[str]:
    listed = [
        model.id
        for one in catalogue.load().providers
        if one.id in (provider, "openai", "anthropic")
        for model in one.models
    ]
    return [name for name in [pattern.replace("*", ""), *listed] if tables.fnmatch.fnmatchcase(name.lower(), pattern)]
