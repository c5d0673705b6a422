"""Singletons: of each key one execution that is not final leads, and those that come meanwhile follow it."""

from penstock.domain.flow.gatherings import Place
from penstock.domain.flow.limits import SINGLETON
from penstock.domain.flow.lines import Item, Status


class Singles:
    """Who leads, and who is about to follow."""

    def __init__(self) -> None:
        self.leaders: dict[Place, str] = {}
        self.joining: dict[str, dict[str, Item]] = {}
        """Leader -> those whose fact that they follow it is not in the log yet, in order of arrival."""

    def leader_of(self, item: Item) -> str | None:
        """The execution that leads where this one belongs."""
        return self.leaders.get(_place(item))

    def lead(self, item: Item) -> None:
        """It is the first of its key."""
        self.leaders[_place(item)] = item.id

    def join(self, item: Item, leader: str) -> None:
        """It is to follow the leader."""
        item.status = Status.JOINING
        self.joining.setdefault(leader, {})[item.id] = item

    def leave(self, item: Item) -> None:
        """It is about to follow nobody any more."""
        leader = self.leaders.get(_place(item), "")
        waiting = self.joining.get(leader)
        if waiting is not None and waiting.pop(item.id, None) is not None and not waiting:
            del self.joining[leader]

    def step_down(self, item: Item) -> list[Item]:
        """It leads no more. Answers with those that were about to follow it, in order of arrival."""
        place = _place(item)
        if self.leaders.get(place) != item.id:
            return []
        del self.leaders[place]
        return list(self.joining.pop(item.id, {}).values())

    def dissolve(self, function: str) -> list[Item]:
        """Nobody of this function leads any more; those that were about to follow, in order of arrival."""
        found: list[Item] = []
        for place, leader in list(self.leaders.items()):
            if place[0] == function:
                del self.leaders[place]
                found += self.joining.pop(leader, {}).values()
        return sorted(found, key=lambda each: each.arrival)


def _place(item: Item) -> Place:
    return item.line.function, item.line.keys.get(SINGLETON, "")
