"""A simulator of a cluster: the production code of many nodes over a simulated stream, network and clock.

`simulate(seed)` runs a cluster for a minute or so of its own time and lets things go wrong: messages and their answers
are lost or late, nodes are killed, paused, slow or cut off, leases end, clocks jump. Then it lets the faults stop and
checks G1 to G9 over what the clients saw (`syncnet.testing.checker`), what the log has, and what each node has made of
it. Everything that happens follows from the seed, so a seed replays to the letter.

`python -m syncnet.testing.simulator SEED` prints all that happens in a run, and its violations;
`python -m syncnet.testing.simulator --seeds 10000` runs many seeds on all processors.

| file         | what it owns                                                                   |
| ------------ | ------------------------------------------------------------------------------ |
| `events`     | the queue of what is to happen: time, order and chance                         |
| `process`    | the event loop and the clocks of one node                                      |
| `stream`     | what NATS JetStream does, and what can go wrong on the way to it               |
| `nodes`      | the production code of one node, and a front end                               |
| `clients`    | clients that make offers and record what they see                              |
| `cluster`    | all nodes                                                                      |
| `faults`     | what goes wrong                                                                |
| `checks`     | the checks after a run                                                         |
| `simulation` | one run                                                                        |
"""

from syncnet.testing.simulator.simulation import Report, simulate

__all__ = ["Report", "simulate"]
