import pytest

from coven_action.core.contract.platforms import describe_platform, find_architecture


def test_linux_is_supported_without_a_remark():
    platform = describe_platform("Linux", "x86_64")

    assert (platform.name, platform.architecture, platform.supported) == ("Linux", "x86_64", True)
    assert (platform.code, platform.note) == (None, "")


def test_macos_runs_and_states_its_weaker_isolation():
    platform = describe_platform("Darwin", "arm64")

    assert (platform.name, platform.architecture, platform.supported, platform.code) == ("macOS", "aarch64", True, None)
    assert "weaker" in platform.note


@pytest.mark.parametrize(
    ("system", "name"), [("Windows", "Windows"), ("FreeBSD", "FreeBSD"), ("", "an unknown platform")]
)
def test_every_other_platform_declines_clearly(system, name):
    platform = describe_platform(system, "AMD64")

    assert not platform.supported
    assert platform.code == "platform-not-supported"
    assert name in platform.note
    assert "Use a Linux runner" in platform.note


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("x86_64", "x86_64"), ("AMD64", "x86_64"), ("arm64", "aarch64"), ("aarch64", "aarch64"), ("riscv64", "riscv64")],
)
def test_one_architecture_has_one_name(machine, architecture):
    assert find_architecture(machine) == architecture
