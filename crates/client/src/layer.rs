//! The tower layer: a call reaches the inner service with a [`Grant`](crate::Grant), or is answered here.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum_core::body::Body;
use axum_core::response::{IntoResponse, Response};
use http::Request;
use tower_layer::Layer;
use tower_service::Service;

use crate::client::KeyhouseClient;

/// Puts every route of a service behind Keyhouse.
///
/// The key is removed from the request before the inner service sees it, so that it ends up in no log.
#[derive(Debug, Clone)]
pub struct KeyhouseLayer(KeyhouseClient);

impl KeyhouseLayer {
    pub fn new(client: KeyhouseClient) -> Self {
        Self(client)
    }
}

impl<S> Layer<S> for KeyhouseLayer {
    type Service = KeyhouseService<S>;

    fn layer(&self, inner: S) -> KeyhouseService<S> {
        KeyhouseService { client: self.0.clone(), inner }
    }
}

/// A service behind Keyhouse. Made by [`KeyhouseLayer`].
#[derive(Debug, Clone)]
pub struct KeyhouseService<S> {
    client: KeyhouseClient,
    inner: S,
}

impl<S> Service<Request<Body>> for KeyhouseService<S>
where
    S: Service<Request<Body>, Response = Response> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The service that was polled ready is the one to call; its clone waits for the next request.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let client = self.client.clone();
        Box::pin(async move {
            // A body is Send but not Sync, so only the head may be borrowed across the question.
            let (mut parts, body) = request.into_parts();
            match client.verify(&parts.method, &parts.headers).await {
                Ok(grant) => {
                    parts.headers.remove(client.key_header());
                    parts.extensions.insert(grant);
                    request = Request::from_parts(parts, body);
                    inner.call(request).await
                }
                Err(refusal) => Ok(refusal.into_response()),
            }
        })
    }
}
