"""Answers that share beginnings, as a tree: each beginning is read by the model once."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class AnswerTree:
    """`tokens`, `parents` and `depths` of the inner nodes (parent -1: the prompt itself); every edge is (source, token).

    `paths[i]` are the edges of answer i. Nodes that no answer continues need not be read and are not among the inner ones.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)
    ancestors: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=bool))
    """[inner, inner]: whether the second node is the first or one of its ancestors."""

    @property
    def size(self) -> int:
        return len(self.tokens)


def build_tree(answers: Sequence[Sequence[int]]) -> AnswerTree:
    tree = AnswerTree()
    edges: dict[tuple[int, int], int] = {}
    nodes: dict[tuple[int, int], int] = {}
    for answer in answers:
        node, path = -1, []
        for place, token in enumerate(answer):
            edge = (node, token)
            if edge not in edges:
                edges[edge] = len(tree.edges)
                tree.edges.append(edge)
            path.append(edges[edge])
            if place < len(answer) - 1:
                if edge not in nodes:
                    nodes[edge] = len(tree.tokens)
                    tree.tokens.append(token)
                    tree.parents.append(node)
                    tree.depths.append(place)
                node = nodes[edge]
        tree.paths.append(path)
    tree.ancestors = np.eye(tree.size, dtype=bool)
    for index, parent in enumerate(tree.parents):
        if parent >= 0:
            tree.ancestors[index] |= tree.ancestors[parent]
    return tree
