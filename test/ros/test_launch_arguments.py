"""What launch files make of their arguments. No ROS."""

import pytest

from samwise_ros.ros.launch_arguments import (
    node_topic,
    profile_variable,
    read_bool,
    read_choice,
    read_number,
    read_topics,
    refuse_topics_of_one_camera,
)


@pytest.mark.parametrize("text", ["true", "True", "1", "yes", "ON", " on "])
def test_usual_spellings_of_true_and_false(text):
    assert read_bool("seeded", text) is True
    opposite = {"true": "False", "1": "0", "yes": "NO", "on": "off"}[text.strip().lower()]
    assert read_bool("seeded", opposite) is False


@pytest.mark.parametrize("text", ["", "2", "maybe", "truee", "none"])
def test_what_means_neither_is_refused_by_name(text):
    with pytest.raises(ValueError, match=rf"seeded: expected true or false .*got '{text}'"):
        read_bool("seeded", text)


def test_numbers_and_choices_are_named_when_they_are_none():
    assert read_number("overlay_rate", "5", float) == 5.0
    assert read_number("num_threads", "2", int) == 2
    with pytest.raises(ValueError, match="num_threads: expected a whole number, got '2.5'"):
        read_number("num_threads", "2.5", int)
    with pytest.raises(ValueError, match="overlay_rate: expected a number, got 'abc'"):
        read_number("overlay_rate", "abc", float)
    with pytest.raises(ValueError, match="follower: expected one of nav2, simple, got 'nav'"):
        read_choice("follower", "nav", ("nav2", "simple"))


def test_topics_by_camera_are_read_and_bad_entries_are_named():
    assert read_topics("cameras", " front:=/a/image  wrist:=b ") == {"front": "/a/image",
                                                                     "wrist": "b"}
    assert read_topics("depth", "") == {}
    for bad in ("front", "front:=", ":=/a", "a:=/x a:=/y"):
        with pytest.raises(ValueError, match="cameras: expected different NAME:=TOPIC"):
            read_topics("cameras", bad)


def test_topics_of_a_single_camera_are_refused_beside_several():
    default = {"image": "image", "depth": "depth", "camera_info": "camera_info"}
    refuse_topics_of_one_camera("front wrist", default)
    refuse_topics_of_one_camera("", default | {"image": "/eye/image"})
    for name in default:
        with pytest.raises(ValueError, match=f"^{name}: not beside cameras"):
            refuse_topics_of_one_camera("front", default | {name: "/eye/topic"})


def test_topics_follow_namespace_and_name():
    assert node_topic("", "samwise", "mask") == "/samwise/mask"
    assert node_topic("/robot1", "seg", "target_pose") == "/robot1/seg/target_pose"
    assert node_topic("a/b/", "seg", "mask") == "/a/b/seg/mask"


def test_the_old_name_of_the_profile_s_variable_is_for_humble_alone(monkeypatch):
    for distribution, name in (("humble", "FASTRTPS"), ("jazzy", "FASTDDS"), ("kilted", "FASTDDS")):
        monkeypatch.setenv("ROS_DISTRO", distribution)
        assert profile_variable() == f"{name}_DEFAULT_PROFILES_FILE"
    monkeypatch.delenv("ROS_DISTRO")
    assert profile_variable() == "FASTDDS_DEFAULT_PROFILES_FILE"
