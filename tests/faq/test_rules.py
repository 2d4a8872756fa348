from app.faq import rules


def test_a_query_is_tidied_and_cut() -> None:
    assert rules.tidy_query("  stop\x00\tthe\n\nbot  ") == "stop the bot"
    assert len(rules.tidy_query("word " * 10_000)) <= rules.MAX_QUERY
    assert rules.tidy_query("\u202e\x00") == ""


def test_words_are_lower_case_each_once_and_few() -> None:
    assert rules.words_of("Stop, STOP! the (bot) & | :* '") == ["stop", "the", "bot"]
    assert rules.words_of("ещё Комиссии") == ["еще", "комиссии"]
    assert len(rules.words_of(" ".join(f"w{n}" for n in range(50)))) == rules.MAX_WORDS
    assert rules.words_of("___ !!!") == []


def test_typing_mistakes_are_corrected_to_known_words() -> None:
    vocabulary = {"withdrawal", "комиссии", "taxas", "grid"}
    assert rules.correct_words(["witdrawal"], vocabulary) == ["withdrawal"]
    assert rules.correct_words(["комисии"], vocabulary) == ["комиссии"]
    assert rules.correct_words(["tazas"], vocabulary) == ["taxas"]


def test_known_short_and_far_words_stay() -> None:
    vocabulary = {"grid", "fees"}
    assert rules.correct_words(["grid", "gri", "helicopter"], vocabulary) == [
        "grid",
        "gri",
        "helicopter",
    ]
