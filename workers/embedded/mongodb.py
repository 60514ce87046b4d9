"""An embedded MongoDB: a replica set of one, because transactions need a replica set."""

from workers.embedded.mongod import Mongod
from workers.embedded.process import LOOPBACK
from workers.embedded.replication import settle


class EmbeddedMongo(Mongod):
    """MongoDB on `data_dir/mongodb`, initiated and writable when its address is handed out."""

    def _url(self, port: int) -> str:
        return f"mongodb://{LOOPBACK}:{port}/?replicaSet={self.replica_set}"

    def _settle(self, port: int, deadline: float) -> None:
        settle({port: self.folder}, self.replica_set, deadline)
