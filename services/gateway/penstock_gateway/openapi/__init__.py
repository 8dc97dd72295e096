"""The OpenAPI document, made from the schemas and one table of operations."""

from penstock_gateway.openapi.document import document

__all__ = ["document"]
