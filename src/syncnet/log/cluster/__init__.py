"""The log of several servers that act as one: a replicated stream, one order of entries for each namespace.

| file         | what it owns                                                                       |
| ------------ | ---------------------------------------------------------------------------------- |
| `stream`     | what the log needs of a replicated stream, as a protocol                           |
| `entries`    | commands and states as bytes                                                       |
| `digests`    | the running digest of the state, by which nodes notice that their states differ    |
| `batch`      | an entry on its way                                                                |
| `backoff`    | how long to wait before a state is made anew once more                             |
| `node`       | one server of the cluster: its name, its lease, and which other nodes are lost     |
| `namespace`  | the log of one namespace: publishes commands, delivers entries, keeps snapshots    |
| `loop`       | the event loop and the clocks                                                      |
| `durability` | what the settings of NATS leave out of the promise that an outcome survives        |
| `jetstream`  | the stream on NATS JetStream; the only module that imports nats                    |

All but the last three do no I/O, read no clock and draw no random numbers: a simulator runs them as they are.
"""
