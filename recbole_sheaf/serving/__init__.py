"""Recommendations over HTTP, and a page that shows them: one process, one set of embeddings, held in memory.

:class:`~recbole_sheaf.serving.catalogue.Catalogue` answers, :func:`~recbole_sheaf.serving.app.build_app` puts it behind
routes, :func:`~recbole_sheaf.serving.server.serve` listens. FastAPI and uvicorn come with the extra ``[serve]``.
"""
