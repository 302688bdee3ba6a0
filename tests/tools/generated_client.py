"""create -> list -> patch -> archive -> restore, by a client that was generated from the description alone."""

import os
import sys

from keyhouse_client import AuthenticatedClient
from keyhouse_client.api.key import get_key
from keyhouse_client.api.products import (
    archive_product,
    create_product,
    get_product,
    list_products,
    restore_product,
    update_product,
)
from keyhouse_client.models import Currency, ListProductsStatus, ProductCreation, ProductChange, ProductStatus

client = AuthenticatedClient(base_url=sys.argv[1], token=os.environ["TOKEN"], raise_on_unexpected_status=True)

assert get_key.sync(client=client).data.mode == "test"

body = ProductCreation(name="Hail pad", unit_price=12.5, currency=Currency.EUR, sku="HAIL-1")
made = create_product.sync(client=client, body=body, idempotency_key="story-1").data
assert made.unit_price == 12.5 and made.type_ == "SERVICES" and made.description is None
again = create_product.sync_detailed(client=client, body=body, idempotency_key="story-1")
assert again.parsed.data.id == made.id and again.headers["idempotent-replayed"] == "true"

refused = create_product.sync(client=client, body=body)
assert refused.error.code == "sku_already_exists", refused

first = list_products.sync_detailed(client=client, limit=1)
assert first.status_code == 200, first.content
page = first.parsed.data
assert page.data[0].id == made.id and page.has_more
seen = [made.id]
while page.next_cursor:
    page = list_products.sync(client=client, limit=3, after=page.next_cursor).data
    seen += [product.id for product in page.data]
assert len(seen) == len(set(seen)) > 5

changed = update_product.sync(made.id, client=client, body=ProductChange(unit_price=0.0001, sku=None)).data
assert changed.unit_price == 0.0001 and changed.sku is None and changed.name == "Hail pad"

assert archive_product.sync(made.id, client=client).data.status == ProductStatus.ARCHIVED
archived = list_products.sync(client=client, status=ListProductsStatus.ARCHIVED).data
assert [product.id for product in archived.data] == [made.id]
assert restore_product.sync(made.id, client=client).data.status == ProductStatus.ACTIVE
assert get_product.sync(made.id, client=client).data.updated_at > made.updated_at

absent = get_product.sync("019ab697-e800-7123-9159-e26af37bc048", client=client)
assert absent.error.code == "product_not_found" and absent.error.request_id.startswith("req_")
