import type { Environment } from '../../common/programs';
import { LoraError } from '../../shared/errors';

/** A bucket in the settings of a target. Null: as the environment says. */
export interface BucketSettings {
  /** s3://bucket/prefix */
  readonly url: string;
  /** Of a storage other than Amazon's. */
  readonly endpoint: string | null;
  readonly region: string | null;
}

/** Where a bucket is. */
export interface BucketPlace {
  readonly endpoint: URL;
  readonly region: string;
  readonly bucket: string;
  /** '' or a prefix that ends in '/'. */
  readonly prefix: string;
}

/** What signs requests. Never written anywhere. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

const SCHEME = 's3://';
/** The names that Amazon allows, and prefixes that need no escapes. */
const ADDRESS = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:\/[\w-][\w.-]*)*)\/?$/;
const REGION = /^[a-z0-9-]{1,64}$/;
const DEFAULT_REGION = 'us-east-1';

/** Whether a storage is a bucket, and no folder. */
export const isBucketUrl = (storage: string): boolean => storage.startsWith(SCHEME);

/** Whether the address of a bucket can be used. */
export const isValidBucketUrl = (url: string): boolean => ADDRESS.test(url);

/** Where a bucket is, by the settings or the variables of AWS. @throws LoraError('target') */
export function bucketPlace(settings: BucketSettings, env: Environment): BucketPlace {
  const [, bucket, folder = ''] = ADDRESS.exec(settings.url) ?? [];
  if (bucket === undefined)
    throw new LoraError('target', `${settings.url} is no address such as s3://bucket/prefix.`);
  const region =
    settings.region ?? named(env, 'AWS_REGION', 'AWS_DEFAULT_REGION') ?? DEFAULT_REGION;
  if (!REGION.test(region))
    throw new LoraError('target', 'The region of the storage is not valid.');
  const endpoint =
    settings.endpoint ??
    named(env, 'AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL') ??
    `https://s3.${region}.amazonaws.com`;
  return {
    endpoint: endpointOf(endpoint),
    region,
    bucket,
    prefix: folder === '' ? '' : `${folder.slice(1)}/`,
  };
}

/** The key of the user. @throws LoraError('target') when there is none */
export function credentialsOf(env: Environment): Credentials {
  const value = (name: string) => {
    const found = named(env, name);
    if (found !== null) return found;
    throw new LoraError(
      'target',
      `The environment variable ${name} is not set: the bucket needs it.`,
      {
        fix: 'Set it here. On the nodes, Ray has it in its environment, or "env" of the target names it.',
      },
    );
  };
  const sessionToken = named(env, 'AWS_SESSION_TOKEN');
  return {
    accessKeyId: value('AWS_ACCESS_KEY_ID'),
    secretAccessKey: value('AWS_SECRET_ACCESS_KEY'),
    ...(sessionToken !== null && { sessionToken }),
  };
}

function named(env: Environment, ...names: readonly string[]): string | null {
  const values = names.map((name) => env[name]?.trim() ?? '');
  return values.find((value) => value !== '') ?? null;
}

function endpointOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.search === '')
    return url;
  throw new LoraError('target', 'The endpoint of the storage is no address of a server.', {
    fix: 'Name one such as https://storage.example.com, without a name or password.',
  });
}
