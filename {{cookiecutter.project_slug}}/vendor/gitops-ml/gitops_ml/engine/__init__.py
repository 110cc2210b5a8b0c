"""Where much is computed: on this machine's cores, or on the workers of a Dask cluster.

Comes in: where, the code to run, a function and its tasks. Goes out: each task's result, as it is there. A task is pure
and what it leaves behind is durable, so that it can be done again anywhere; then the engine hardly matters. On either
one each task runs in a process of its own interpreter, with just the code that was handed in and one thread.
"""
