import type { SecretPlace } from '../../shared/preparedRepository';

/** The position of a secret in a text; never the secret itself. */
export type FoundSecret = Omit<SecretPlace, 'file'>;

interface SecretPattern {
  readonly kind: string;
  readonly pattern: RegExp;
  /** Whether the first group has to look like chance. */
  readonly byChance?: true;
}

// Each takes a time that is linear in a line, or quadratic in one of at most 1000 characters.
const PATTERNS: readonly SecretPattern[] = [
  { kind: 'private key', pattern: /-----BEGIN [A-Z ]{0,30}PRIVATE KEY/ },
  { kind: 'private key', pattern: /\bPuTTY-User-Key-File-\d/ },
  { kind: 'AWS key', pattern: /\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b/ },
  { kind: 'Azure key', pattern: /\b(?:AccountKey|SharedAccessKey)=[\w+/]{40,90}/ },
  { kind: 'GitHub token', pattern: /\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22})/ },
  { kind: 'GitLab token', pattern: /\bglpat-[\w-]{20}/ },
  { kind: 'Google key', pattern: /\bAIza[\w-]{35}/ },
  { kind: 'Google token', pattern: /\bya29\.[\w-]{20}/ },
  { kind: 'Slack token', pattern: /\bxox[abeoprs]-[\w-]{10}|hooks\.slack\.com\/services\/\w/ },
  { kind: 'key of a model service', pattern: /\bsk-(?:[a-z]{2,8}-|[a-z]{2,8}\d\d-)?[\w-]{20}/ },
  { kind: 'Hugging Face token', pattern: /\bhf_[A-Za-z0-9]{30}/ },
  { kind: 'npm token', pattern: /\bnpm_[A-Za-z0-9]{36}/ },
  { kind: 'PyPI token', pattern: /\bpypi-[\w-]{50}/ },
  { kind: 'Stripe key', pattern: /\b[rs]k_(?:live|test)_[A-Za-z0-9]{16}/ },
  { kind: 'SendGrid key', pattern: /\bSG\.[\w-]{16,32}\.[\w-]{16}/ },
  { kind: 'JSON web token', pattern: /\beyJ[\w-]{10,500}\.eyJ[\w-]{10,500}\.[\w-]{10}/ },
  {
    kind: 'password in an address',
    pattern: /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/'"`]{1,80}:([^\s@/'"`${}<>*]{3,80})@/i,
  },
  {
    kind: 'credentials',
    pattern: /\b(?:bearer|basic) ([\w+/=.-]{20,500})/i,
    byChance: true,
  },
  {
    kind: 'password or key',
    pattern:
      /(?:passw(?:or)?d|passphrase|pwd|secret|token|api_?-?key|access_?-?key|auth_?-?key|credential)\w{0,20}["'`]?\s{0,4}(?::=|=>|[:=])\s{0,4}["'`]([^"'`\s]{8,200})["'`]/i,
    byChance: true,
  },
  {
    kind: 'password or key',
    pattern:
      /^\s{0,20}(?:export )?[A-Z_]{0,40}(?:PASSWORD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY)[A-Z_]{0,20}=([^\s"'`]{8,200})$/,
    byChance: true,
  },
];

const SECRET_FILES: readonly (readonly [kind: string, pattern: RegExp])[] = [
  ['environment file', /(?:^|\/)\.env(?:\.(?!example$|sample$|template$|dist$)[\w-]+)*$|\.env$/i],
  ['private key', /(?:^|\/)id_(?:rsa|dsa|ecdsa|ed25519)$|\.(?:pem|key|p12|pfx|jks|keystore|ppk)$/i],
  [
    'credentials',
    /(?:^|\/)(?:\.npmrc|\.pypirc|\.netrc|_netrc|\.git-credentials|\.htpasswd|\.pgpass|\.dockercfg)$|(?:^|\/)\.(?:aws|docker)\/(?:credentials|config\.json)$|\.tfvars$|\.tfstate(?:\.backup)?$/i,
  ],
];

/** The kind of secret in a file, by its name; null: none. */
export const secretFile = (file: string): string | null =>
  SECRET_FILES.find(([, pattern]) => pattern.test(file))?.[0] ?? null;

/** A file with more is identified by these. */
const MOST_FOUND = 20;

/** The secrets in a text whose lines are short, by patterns: one for each line at most. */
export function secretsIn(text: string): readonly FoundSecret[] {
  const found: FoundSecret[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    const pattern = PATTERNS.find((own) => isIn(line, own));
    if (pattern) found.push({ line: i + 1, kind: pattern.kind });
    if (found.length === MOST_FOUND) break;
  }
  return found;
}

function isIn(line: string, { pattern, byChance }: SecretPattern): boolean {
  const value = pattern.exec(line);
  return value !== null && (!byChance || looksLikeChance(value[1]!));
}

/** Bits for each character, from which a value is no word. */
const BITS = 3.2;

/** Letters and digits in no order; not a name, a placeholder, a path or a call. */
function looksLikeChance(value: string): boolean {
  if (/[${}<>()]|\.\.|^(?:https?:|\/)/.test(value)) return false;
  if (/example|placeholder|change|your|dummy|xxxx|\*\*\*/i.test(value)) return false;
  return /\d/.test(value) && /[A-Za-z]/.test(value) && entropy(value) > BITS;
}

function entropy(value: string): number {
  const counts = new Map<string, number>();
  for (const character of value) counts.set(character, (counts.get(character) ?? 0) + 1);
  return [...counts.values()]
    .map((count) => count / value.length)
    .reduce((sum, share) => sum - share * Math.log2(share), 0);
}
