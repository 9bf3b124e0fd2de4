"""A batch taken apart: what is poison, what waits for a newer worker, what stays in order."""

import msgspec

from events.envelope import Command
from events.ids import Partition, partition_of
from events.outcome import Outcome, Status
from events.parcel import encode_command, pack_commands
from tests.support.said import create, update
from workers.jobs import open_batch
from workers.queue import Delivery

PARTITIONS = 16
HERE = partition_of("comment-1", PARTITIONS)


def delivered(ident: str, *commands: Command, group: str = "", partition: int = HERE) -> Delivery:
    body = pack_commands(Partition(partition), [encode_command(each) for each in commands])
    return Delivery(ident, "r", group or f"p{partition}", body, 1)


def test_commands_of_one_stream_are_one_job_in_their_order() -> None:
    one, two, three = create(), update(text="b"), update(text="c")
    batch = open_batch([delivered("m1", one, two), delivered("m2", three)], PARTITIONS)
    (job,) = batch.jobs.values()
    assert [each.command.id for each in job.asked] == [one.id, two.id, three.id]
    assert batch.unfinished() == {"m1", "m2"}
    for each in job.asked[:2]:
        each.outcome = Outcome(Status.APPLIED, job.asked[0].command.accepted_at)  # type: ignore[arg-type]
    assert batch.unfinished() == {"m2"}


def test_a_newer_parcel_holds_back_its_own_group_only() -> None:
    newer = Delivery("m2", "r", f"p{HERE}", '{"wire":2,"boxes":[]}', 1)
    elsewhere = next(n for n in range(100) if partition_of(f"comment-{n}", PARTITIONS) != HERE)
    other = create(str(elsewhere))
    batch = open_batch(
        [delivered("m1", create()), newer, delivered("m3", update()), delivered("m4", other, partition=partition_of(other.stream, 16))],
        PARTITIONS,
    )
    assert (batch.left, batch.poison) == ({"m2", "m3"}, [])
    assert [each.delivery.message_id for each in batch.asked] == ["m1", "m4"]


def test_what_is_no_parcel_of_ours_is_poison_and_others_go_on() -> None:
    notification = msgspec.json.encode({"Type": "Notification", "Message": "{}"}).decode()
    wrong = [Delivery(f"x{n}", "r", f"p{HERE}", body, 1) for n, body in enumerate(["", "{", "[]", "null", notification, "\ud800"])]
    batch = open_batch([*wrong, delivered("m1", create())], PARTITIONS)
    assert [delivery.message_id for delivery, _ in batch.poison] == [each.message_id for each in wrong]
    assert all(reason for _, reason in batch.poison)
    assert len(batch.asked) == 1


def test_a_parcel_in_another_group_or_with_a_stranger_is_poison() -> None:
    elsewhere = next(n for n in range(100) if partition_of(f"comment-{n}", PARTITIONS) != HERE)
    batch = open_batch([delivered("m1", create(), group="p99"), delivered("m2", create(), create(str(elsewhere)))], PARTITIONS)
    assert [delivery.message_id for delivery, _ in batch.poison] == ["m1", "m2"]
    assert not batch.asked


def packed(ident: str, partitions: int, *commands: Command) -> Delivery:
    partition = partition_of(commands[0].stream, partitions)
    return Delivery(ident, "r", f"p{partition}", pack_commands(partition, [encode_command(each) for each in commands], partitions), 1)


def test_a_parcel_is_judged_by_the_number_of_partitions_it_was_packed_under() -> None:
    batch = open_batch([packed("m1", 7, create()), packed("m2", PARTITIONS, update())], PARTITIONS)
    assert (batch.poison, [each.delivery.message_id for each in batch.asked], batch.others) == ([], ["m1", "m2"], {7})
    elsewhere = next(n for n in range(100) if partition_of(f"comment-{n}", 7) != partition_of("comment-1", 7))
    batch = open_batch([packed("m1", 7, create(), create(str(elsewhere)))], PARTITIONS)
    assert [delivery.message_id for delivery, _ in batch.poison] == ["m1"]


def test_a_parcel_that_does_not_say_is_judged_by_the_number_given_and_found_doubtful() -> None:
    assert partition_of("comment-1", 7) != HERE
    batch = open_batch([delivered("m1", create())], PARTITIONS)
    assert (batch.poison, batch.others) == ([], set())
    batch = open_batch([delivered("m1", create())], 7)
    assert ([delivery.message_id for delivery, _ in batch.poison], batch.others) == (["m1"], {0})
