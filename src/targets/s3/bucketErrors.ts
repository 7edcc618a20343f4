import { LoraError } from '../../shared/errors';
import { shortened } from '../foreignText';
import type { BucketPlace } from './place';

/** What a storage says of a request that it refuses. */
export interface Refusal {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
}

interface Explained {
  readonly message: string;
  readonly fix?: string;
}

type Explain = (place: BucketPlace, refusal: Refusal) => Explained;

const badKey: Explain = ({ endpoint }) => ({
  message: `${endpoint.host} does not accept the key in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.`,
  fix: 'Correct these variables, or get a new key.',
});

const denied: Explain = ({ bucket }) => ({
  message: `The bucket ${bucket} refuses access.`,
  fix: 'The key needs s3:ListBucket for the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject for what is in it.',
});

const expired: Explain = () => ({
  message: 'The key for the bucket has expired.',
  fix: 'Get a new one, with its AWS_SESSION_TOKEN.',
});

const elsewhere: Explain = ({ bucket, region }, { headers, body }) => {
  const [, said] = /<Region>([^<]{1,64})<\/Region>/.exec(body.toString('utf8')) ?? [];
  const other = headers.get('x-amz-bucket-region') ?? said ?? 'another one';
  return {
    message: `The bucket ${bucket} is not in the region ${region}, but in ${shortened(other)}.`,
    fix: 'Name its region in the entry of the target ("region"), or in AWS_REGION.',
  };
};

const clockOff: Explain = ({ endpoint }, { headers }) => ({
  message: `${endpoint.host} refuses requests, since the clock of this machine is ${offset(headers)}.`,
  fix: 'Set the clock.',
});

function offset(headers: Headers): string {
  const minutes = Math.round((Date.now() - Date.parse(headers.get('date') ?? '')) / 60_000);
  if (Number.isNaN(minutes) || minutes === 0) return 'off';
  return `${Math.abs(minutes)} min ${minutes > 0 ? 'ahead' : 'behind'}`;
}

/** What the codes of S3 mean. */
const CODES: Readonly<Record<string, Explain>> = {
  NoSuchBucket: ({ bucket, endpoint }) => ({
    message: `There is no bucket ${bucket} at ${endpoint.host}.`,
    fix: 'Create it, or correct "storage" and "endpoint" in the entry of the target.',
  }),
  AccessDenied: denied,
  AllAccessDisabled: denied,
  InvalidAccessKeyId: badKey,
  SignatureDoesNotMatch: badKey,
  InvalidToken: expired,
  ExpiredToken: expired,
  RequestTimeTooSkewed: clockOff,
  PermanentRedirect: elsewhere,
  AuthorizationHeaderMalformed: elsewhere,
  IllegalLocationConstraintException: elsewhere,
};

/** The code of S3 in an answer; '' for none. */
export const codeIn = (body: Buffer): string =>
  /<Code>(\w{1,64})<\/Code>/.exec(body.toString('utf8'))?.[1] ?? '';

/** Why a storage refuses a request, in one sentence. */
export function refused(place: BucketPlace, refusal: Refusal): LoraError {
  const { status, body } = refusal;
  const code = codeIn(body);
  const explain = explanationOf(code, status);
  if (explain) {
    const { message, fix } = explain(place, refusal);
    return new LoraError('target', message, fix === undefined ? {} : { fix });
  }
  const words = code === '' ? '' : ` (${code})`;
  return new LoraError(
    'target',
    `${place.endpoint.host} answers ${status}${words}, which is no answer for the bucket ${place.bucket}.`,
    { fix: 'Check "endpoint" in the entry of the target: it is the address of a storage like S3.' },
  );
}

function explanationOf(code: string, status: number): Explain | undefined {
  if (Object.hasOwn(CODES, code)) return CODES[code];
  if (status === 301 || status === 307) return elsewhere;
  return status === 401 || status === 403 ? denied : undefined;
}
