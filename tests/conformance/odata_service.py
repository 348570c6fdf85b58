"""An OData service by odatapy, over data in memory: Products, in pages of 5. `python odata_service.py <port> <how many>`."""

from __future__ import annotations

import sys
from wsgiref.simple_server import make_server

from odatapy.data import Entity, ValueType
from odatapy.edm.csdl import (
    CsdlAbstractEdmProvider,
    CsdlEntityContainer,
    CsdlEntitySet,
    CsdlEntityType,
    CsdlProperty,
    CsdlPropertyRef,
    CsdlSchema,
)
from odatapy.server import OData
from odatapy.server.adapters import ODataWSGIApp
from odatapy.server.inmemory import InMemoryDataStore, InMemoryProcessor


class Provider(CsdlAbstractEdmProvider):
    """The service's model."""

    def get_schemas(self) -> list[CsdlSchema]:
        product = CsdlEntityType(
            name="Product",
            key=[CsdlPropertyRef(name="ID")],
            properties=[
                CsdlProperty(name="ID", type="Edm.Int32", nullable=False),
                CsdlProperty(name="Name", type="Edm.String"),
            ],
        )
        container = CsdlEntityContainer(name="Container", entity_sets=[CsdlEntitySet(name="Products", type="Mill.Product")])
        return [CsdlSchema(namespace="Mill", entity_types=[product], entity_container=container)]


def product(number: int) -> Entity:
    """A product."""
    entity = Entity(type="Mill.Product")
    entity.set_property("ID", number, ValueType.PRIMITIVE, "Edm.Int32")
    entity.set_property("Name", f"product {number}", ValueType.PRIMITIVE, "Edm.String")
    return entity


def main(port: int, count: int) -> None:
    """Serves until it is killed."""
    odata = OData.new_instance()
    handler = odata.create_handler(odata.create_service_metadata(Provider()))
    store = InMemoryDataStore()
    store.set_entities("Products", [product(number) for number in range(count)])
    handler.register(InMemoryProcessor(store, page_size=5))
    make_server("127.0.0.1", port, ODataWSGIApp(handler)).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
