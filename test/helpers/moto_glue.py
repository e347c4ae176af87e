"""moto's server with the one thing that its Glue lacks: UpdateTable compares the VersionId it is given, and exchanges the table in the same
step, as AWS does; stock moto takes any. Usage: moto_glue.py -H HOST -p PORT"""
import sys
import threading

from moto.core.exceptions import JsonRESTError
from moto.glue.responses import GlueResponse
from moto.server import main

lock = threading.RLock()


class StaleVersion(JsonRESTError):
    code = 400

    def __init__(self):
        super().__init__('ConcurrentModificationException', 'Update table failed due to concurrent modifications.')


def one_at_a_time(method):
    def locked(self):
        with lock:
            return method(self)

    return locked


update_table = GlueResponse.update_table


def compare_and_update(self):
    wanted = self.parameters.get('VersionId')
    name = (self.parameters.get('TableInput') or {}).get('Name')
    if wanted is not None and name:
        table = self.glue_backend.get_table(self.parameters.get('DatabaseName'), name)
        if str(table.as_dict().get('VersionId')) != str(wanted):
            raise StaleVersion()
    return update_table(self)


GlueResponse.update_table = one_at_a_time(compare_and_update)
GlueResponse.create_table = one_at_a_time(GlueResponse.create_table)
GlueResponse.delete_table = one_at_a_time(GlueResponse.delete_table)
main(sys.argv[1:])
