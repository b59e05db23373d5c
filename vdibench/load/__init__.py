"""MANY: users of desktops under load, driven by Locust; sessions live in engine processes of their own.

``driver`` starts Locust and its workers from a process that is none of Locust's; each worker has one ``engine`` beside
it. Importing Locust changes the interpreter (gevent), so that nothing here imports it but the modules that only run
inside Locust: ``users``, ``scenarios``, ``shapes``, ``plugin``, ``bridge``, ``web``.
"""

__all__: list[str] = []
