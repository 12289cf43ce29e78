"""Building methods by name: the nearest name is told, types are checked."""

from __future__ import annotations

from typing import Any

import pytest

from samtune.errors import ConfigError
from samtune.methods import METHODS, make_method, method_fields


def test_defaults_round_trip_through_json_values() -> None:
    for name in METHODS:
        method = make_method(name)
        assert method.name == name
        assert method.source
        assert make_method(name, **method_fields(method)) == method


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("ptsm", {}, "did you mean 'ptsam'"),
        ("zzzz", {}, r"Expected a method of ptsam, .*, got 'zzzz'\.$"),
        ("lora", {"rnk": 2}, "did you mean 'rank'"),
        ("bitfit", {"rank": 2}, "none at all"),
        ("decoder_only", {"num_queries": 20}, "`decoder_only.num_queries` has no effect with class tokens"),
        ("lora", {"head": "queries", "num_queries": 1}, "Expected `lora.num_queries` >= 2"),
        ("lora", {"head": "queries", "decoder": False}, "no effect without the decoder"),
        ("conv_lora", {"head": "both"}, "one of class_tokens, queries"),
        ("lora", {"rank": "2"}, "Expected `lora.rank` to be a whole number, got '2'"),
        ("lora", {"rank": True}, "Expected `lora.rank` to be a whole number, got True"),
        ("lora", {"rank": 2.0}, "Expected `lora.rank` to be a whole number, got 2.0"),
        ("lora", {"rank": 10**9}, "Expected `lora.rank` <= 4096, got 1000000000"),
        ("lora", {"alpha": float("nan")}, "Expected `lora.alpha` to be a finite number, got nan"),
        ("lora", {"decoder": 1}, "Expected `lora.decoder` to be true or false, got 1"),
        ("lora", {"roles": [1]}, "Expected `lora.roles` to be a list with each item text, got .1."),
        ("ptsam", {"init": "zeros"}, "one of prototype, points, sam_scale, normal, uniform"),
        ("ptsam", {"num_tokens": 0}, "Expected `ptsam.num_tokens` >= 1, got 0"),
        ("ptsam_encoder", {"encoder_tokens": 0}, "`ptsam_encoder.encoder_tokens` >= 1"),
        ("ptsam_encoder", {"gate_start": -3.0}, "no effect without the gate"),
    ],
)
def test_refusals_say_what_to_do(name: str, values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_method(name, **values)


def test_whole_numbers_pass_for_floats_and_a_word_for_a_list() -> None:
    assert method_fields(make_method("lora", alpha=16, roles="proj")) == {
        "rank": 3, "alpha": 16.0, "roles": ["proj"], "decoder": True, "head": "class_tokens", "num_queries": 10,
            "mask_tokens": "all",
    }  # fmt: skip
