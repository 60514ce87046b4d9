"""Orders that send mails, for tests of what is done outside."""

from pipeline import Change, Event, State, action, effect

sent: list[str] = []


class Order(State):
    """An order."""

    status: str = "new"


@action("shop.apply", on="order.*", table="orders", key="{tenant}:{entity_id}")
def apply_order(state: Order | None, event: Event) -> Order:
    """Its status."""
    return (state or Order()).replace(status=event.payload["status"])


@effect("shop.mail", after=apply_order)
def mail(_change: Change[Order], event: Event, _key: str) -> bool:
    """Tell of every event."""
    sent.append(event.event_id)
    return True
