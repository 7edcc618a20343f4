/** An image of the clipboard. */
export interface PastedImage {
  readonly bytes: Buffer;
  readonly extension: 'png' | 'jpg';
}

const FORM = /^data:image\/[a-z0-9.+-]{1,40};base64,/i;
const KINDS = [
  { extension: 'png', signature: Buffer.from([0x89, 0x50, 0x4e, 0x47]) },
  { extension: 'jpg', signature: Buffer.from([0xff, 0xd8]) },
] as const;

/** The bytes of a data: URL, recognized by their content; null: they are no PNG or JPEG. */
export function pastedImage(data: string): PastedImage | null {
  const head = FORM.exec(data.slice(0, 80))?.[0];
  if (head === undefined) return null;
  const bytes = Buffer.from(data.slice(head.length), 'base64');
  const kind = KINDS.find(({ signature }) => bytes.subarray(0, signature.length).equals(signature));
  return kind ? { bytes, extension: kind.extension } : null;
}
