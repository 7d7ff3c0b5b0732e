//! The collector as a service of gRPC.

use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    metrics_service_server::{MetricsService, MetricsServiceServer},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{
    Request, Response, Status,
    codec::CompressionEncoding,
    transport::{Server, server::TcpIncoming},
};

use super::Collector;

pub(super) fn serve(collector: Collector, listener: TcpListener) -> JoinHandle<()> {
    let service = MetricsServiceServer::new(collector).accept_compressed(CompressionEncoding::Gzip);
    let server = Server::builder().add_service(service);
    tokio::spawn(async move {
        server.serve_with_incoming(TcpIncoming::from(listener)).await.expect("it serves");
    })
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        let answer = self.answer(headers, request.into_inner());
        answer.map(Response::new).map_err(|status| Status::unavailable(status.to_string()))
    }
}
