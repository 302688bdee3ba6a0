// A product's life, by the Go client that openapi-generator makes of openapi.json.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	client "github.com/GIT_USER_ID/GIT_REPO_ID"
)

func check(ok bool, what ...any) {
	if !ok {
		fmt.Println(what...)
		os.Exit(1)
	}
}

func main() {
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: os.Args[1]}}
	api := client.NewAPIClient(configuration)
	as := context.WithValue(context.Background(), client.ContextAccessToken, os.Getenv("TOKEN"))

	for _, price := range []float64{1234567.89, 1234.5678, 49999.9999, 999999999.9999, 0.0001} {
		product := client.NewProductCreation("Hail pad", price, client.EUR)
		product.SetTaxRate(8.1)
		created, _, err := api.ProductsAPI.CreateProduct(as).ProductCreation(*product).Execute()
		check(err == nil, "create", err)
		read, response, err := api.ProductsAPI.GetProduct(as, created.Data.Id).Execute()
		check(err == nil, "get", err)
		check(read.Data.UnitPrice == price, "the price was", price, "and is", read.Data.UnitPrice)
		check(*read.Data.TaxRate.Get() == 8.1, "tax rate", read.Data.TaxRate)
		check(!read.Data.Sku.IsSet() || read.Data.Sku.Get() == nil, "sku", read.Data.Sku)
		check(response.Header.Get("X-Request-Id") != "", "no request id")
		_, _, err = api.ProductsAPI.ArchiveProduct(as, created.Data.Id).Execute()
		check(err == nil, "archive", err)
	}
	page, _, err := api.ProductsAPI.ListProducts(as).Limit(2).Execute()
	check(err == nil && len(page.Data.Data) == 2 && page.Data.HasMore, "list", err)
	next, _, err := api.ProductsAPI.ListProducts(as).After(*page.Data.NextCursor.Get()).Execute()
	check(err == nil && len(next.Data.Data) > 0, "next page", err)

	_, _, err = api.ProductsAPI.GetProduct(as, "019ab697-e800-7123-9159-e26af37bc048").Execute()
	absent, ok := err.(*client.GenericOpenAPIError)
	check(ok, "no error for an absent product", err)
	failure, ok := absent.Model().(client.Error)
	check(ok && failure.Error.Code == "product_not_found", "error", string(absent.Body()))

	// What a later version may send.
	later := `{"error":{"type":"a_new_type","code":"a_new_code","message":"m","request_id":"r","hint":"new"},"more":1}`
	check(json.Unmarshal([]byte(later), &failure) == nil && failure.Error.Code == "a_new_code", "a new error is refused")
	body, _ := json.Marshal(page.Data.Data[0])
	var fields map[string]any
	check(json.Unmarshal(body, &fields) == nil, "product")
	fields["weight"], fields["currency"] = 3, "XYZ"
	body, _ = json.Marshal(fields)
	var product client.Product
	err = json.Unmarshal(body, &product)
	check(err == nil && product.Currency == "XYZ", "a new field is refused", err)
}
