import * as v from 'valibot';
import { ShownCertificateSchema } from '../../mergeFacts';
import { parsed } from '../../parsed';

// The messages between the page that shows a merge's certificate and its host. Both check them.

const text = v.string();
const verified = v.array(v.object({ file: text, state: v.picklist(['same', 'changed', 'gone']) }));

/** From the host. `form`: a file, or a folder. */
export const CertificateHostMessageSchema = v.variant('kind', [
  v.object({
    kind: v.literal('certificate'),
    name: text,
    form: v.picklist(['gguf', 'folder', 'safetensors']),
    certificate: ShownCertificateSchema,
  }),
  v.object({ kind: v.literal('verified'), outputs: verified, inputs: verified }),
  v.object({ kind: v.literal('fault'), message: text }),
]);
export type CertificateHostMessage = v.InferOutput<typeof CertificateHostMessageSchema>;

/** From the page: what to do with the merged model. */
const PageMessageSchema = v.variant('kind', [
  v.object({ kind: v.literal('ready') }),
  v.object({ kind: v.picklist(['try', 'reveal', 'modelfile', 'verify', 'exactly', 'json']) }),
  v.object({ kind: v.literal('trouble'), message: text }),
]);
export type CertificatePageMessage = v.InferOutput<typeof PageMessageSchema>;

/** Undefined for values that do not fit. */
export const asCertificatePageMessage = parsed(PageMessageSchema);
