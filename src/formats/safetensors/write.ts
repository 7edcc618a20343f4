import { replaceFile, type WriteFile } from '../../common/atomicWrite';
import { HashedWriter, type TensorToWrite } from '../tensorWriter';
import { elementBytes, SAFETENSORS_DTYPES } from './header';

/** Dtypes from the widest on. */
const DTYPES = SAFETENSORS_DTYPES;

/**
 * Writes a safetensors file; returns its sha256. As the safetensors library does, tensors are
 * sorted by dtype, the widest first, then by name (as UTF-8 bytes), and the header is padded with
 * spaces to a multiple of 8 bytes.
 *
 * @throws LoraError('disk'); an existing file stays.
 */
export async function writeSafetensors(
  file: string,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
  write: WriteFile = replaceFile,
): Promise<string> {
  const sorted = [...tensors].sort(
    (a, b) => DTYPES.indexOf(a.dtype) - DTYPES.indexOf(b.dtype) || compareUtf8(a.name, b.name),
  );
  let sha256 = '';
  await write(file, async (handle) => {
    const writer = new HashedWriter(handle);
    await writer.write(headerOf(sorted, metadata));
    for (const tensor of sorted) await writer.writeTensor(tensor, bytesOf(tensor));
    sha256 = writer.sha256();
  });
  return sha256;
}

const compareUtf8 = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

/**
 * The header's length, its JSON text and the padding. The text is concatenated, since an object
 * would put names that look like numbers first.
 */
function headerOf(
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
): Buffer {
  const entries: string[] = [];
  if (Object.keys(metadata).length > 0) entries.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let start = 0;
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor;
    const end = start + bytesOf(tensor);
    const entry = { dtype, shape, data_offsets: [start, end] };
    entries.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    start = end;
  }
  const text = Buffer.from(`{${entries.join(',')}}`);
  const header = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8));
  text.copy(header, 8);
  return header;
}

function bytesOf({ dtype, shape }: TensorToWrite): number {
  return shape.reduce((a, b) => a * b, elementBytes(dtype) ?? NaN);
}
