"""An evaluation counts every example once, whatever the batch size and the number of devices."""

from tests.distributed.child import report, start


def test_any_batch_size_on_any_number_of_devices_gives_exactly_correct_over_total():
    found = report(start("evaluation"))
    assert len(found) == 4 * 5
    for one in found:
        assert [one["correct"], one["accuracy"]] == one["want"]
