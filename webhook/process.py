"""One webhook process: watches, certificates, servers, and its end."""

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from cryptography import x509
from kubernetes_asyncio.client import ApiClient

from certs.clock import SystemClock
from certs.cluster import ClusterSecrets, ClusterWebhookConfigurations
from certs.keeper import Keeper
from certs.pair import KeyPair
from certs.serving import Serving
from certs.settings import Settings as CertificateSettings
from certs.settings import service_names
from chrek.kube.api import API, ClusterAPI, connected
from chrek.logs import event
from webhook.admit import Admission, Images, NoImages
from webhook.images import RegistryImages
from webhook.knowledge.cluster import Cluster
from webhook.registry.lookup import Registry
from webhook.server.app import State, admission_app, runner, status_app
from webhook.server.metrics import Metrics
from webhook.settings import Settings

_log = logging.getLogger("chrek.webhook")


def settle() -> None:
    """Take what was imported out of every later garbage collection: the Kubernetes client alone
    is half a million objects, and a collection of them holds up every admission."""
    gc.collect()
    gc.freeze()


async def run(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Raises NoClusterError, and OSError when a port is taken."""
    settle()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with connected() as client:
        api = ClusterAPI(client)
        cluster = Cluster(api, settings.watch_namespace)
        metrics = Metrics(cluster.watches)
        serving = Serving()
        keeper = _keeper(settings, client, serving, metrics)
        state = State(lambda: [*cluster.problems(), *_certificate(serving)])
        async with (
            _images(settings, api) as images,
            _served(
                settings, Admission(cluster, images, settings.options), state, metrics, serving
            ),
            asyncio.TaskGroup() as group,
        ):
            tasks = [group.create_task(cluster.run()), group.create_task(keeper.run())]
            await stopped.wait()
            event(_log, logging.INFO, "draining", seconds=settings.drain_seconds)
            state.draining = True
            await asyncio.sleep(settings.drain_seconds)
            for task in tasks:
                task.cancel()


def _keeper(settings: Settings, client: ApiClient, serving: Serving, metrics: Metrics) -> Keeper:
    def use(pair: KeyPair) -> None:
        serving.use(pair)  # raises PairError: the keeper then keeps the one before
        ends = x509.load_pem_x509_certificate(pair.certificate_pem).not_valid_after_utc
        metrics.certificate_expiry.set(ends.timestamp())
        event(_log, logging.INFO, "certificate served", until=ends.isoformat())

    certificates = CertificateSettings(
        dns_names=service_names(settings.service, settings.namespace),
        mode=settings.certificates,
        serving_lifetime_seconds=settings.serving_lifetime_seconds,
        authority_lifetime_seconds=settings.ca_lifetime_seconds,
        overlap_seconds=settings.overlap_seconds,
    )
    return Keeper(
        certificates,
        ClusterSecrets(client, settings.namespace, settings.secret),
        ClusterWebhookConfigurations(client, settings.webhook_configuration),
        SystemClock(),
        use,
    )


def _certificate(serving: Serving) -> list[str]:
    return [] if serving.ready else ["there is no certificate to serve yet"]


@asynccontextmanager
async def _images(settings: Settings, api: API) -> AsyncIterator[Images]:
    if not settings.registry_lookup:
        yield NoImages()
        return
    async with Registry() as registry:
        yield RegistryImages(api, registry)


@asynccontextmanager
async def _served(
    settings: Settings, admission: Admission, state: State, metrics: Metrics, serving: Serving
) -> AsyncIterator[None]:
    """Both ports, from the first moment: health is asked for before anything is ready."""
    apps = [
        (status_app(state, metrics), settings.status_port, None),
        (admission_app(admission, state, metrics), settings.port, serving.context),
    ]
    started: list[web.AppRunner] = []
    try:
        for app, port, context in apps:
            started.append(served := runner(app))
            await served.setup()
            await web.TCPSite(served, settings.address, port, ssl_context=context).start()
        event(_log, logging.INFO, "listening", port=settings.port, status_port=settings.status_port)
        yield
    finally:
        for served in started:
            await served.cleanup()
