"""The committed code of the messages is what protoc makes of cri.proto."""

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_tools import protoc

from agent.runtime.cri import cri_pb2

FOLDER = Path(cri_pb2.__file__).parent


def test_the_messages_are_those_of_the_proto_file(tmp_path: Path) -> None:
    out = tmp_path / "described"
    assert protoc.main(["protoc", f"-I{FOLDER}", f"--descriptor_set_out={out}", "cri.proto"]) == 0
    (described,) = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    pool = descriptor_pool.DescriptorPool()
    pool.Add(described)
    assert _text(pool.FindFileByName("cri.proto")) == _text(cri_pb2.DESCRIPTOR)


def test_the_types_are_those_of_the_proto_file() -> None:
    """By name: protoc's own releases write the rest of it in different ways."""
    stubs = (FOLDER / "cri_pb2.pyi").read_text()
    for message in cri_pb2.DESCRIPTOR.message_types_by_name.values():
        _, _, stub = stubs.partition(f"\nclass {message.name}(")
        assert stub, message.name
        stub = stub.partition("\nclass ")[0]
        for field in message.fields:
            assert f"\n    {field.name}: " in stub, f"{message.name}.{field.name}"


def _text(file: FileDescriptor) -> str:
    described = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(described)
    # Follows from the field's name, and is not in what is committed.
    return "".join(line for line in str(described).splitlines(True) if "json_name" not in line)
