import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeBundles } from '../../../scripts/bundles.mjs';
import {
  bomOf,
  bundledPackages,
  noticesOf,
  type BundledPackage,
} from '../../../scripts/thirdParty.mjs';
import { temp } from '../../support/temp';

const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
  readonly name: string;
  readonly version: string;
};

/** A package with these files. */
function packageOf(license: unknown, files: Readonly<Record<string, string>>): BundledPackage {
  const folder = temp();
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  return { name: 'other', version: '1.0.0', license, folder };
}

describe('the packages in the bundles', () => {
  let packages: readonly BundledPackage[];
  beforeAll(async () => {
    packages = bundledPackages(await writeBundles('out/thirdParty'));
  }, 120_000);

  it('all have a licence that is allowed, with its text', () => {
    const notices = noticesOf(packages);
    for (const { name, version } of packages) expect(notices).toContain(`\n${name} ${version} (`);
  });

  it('are exactly those whose code is bundled or copied', () => {
    const names = packages.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(['@tensorflow/tfjs-node', 'chart.js', 'valibot', 'yauzl']),
    );
    for (const tool of ['esbuild', 'tar', 'vitest']) expect(names).not.toContain(tool);
  });

  it('are listed with the hashes of package-lock.json', () => {
    const { components } = bomOf(packages, manifest);
    expect(components).toHaveLength(packages.length);
    for (const component of components) {
      expect(component['purl']).toMatch(/^pkg:npm\/(?:%40[\w-]+\/)?[\w.-]+@\d/);
      expect(component['hashes']).toEqual([
        { alg: 'SHA-512', content: expect.stringMatching(/^[0-9a-f]{128}$/) as string },
      ]);
    }
  });
});

describe('a bundled package', () => {
  it('is refused without the text of its licence', () => {
    expect(() => noticesOf([packageOf('MIT', { 'index.js': '', LICENSE: ' \n' })])).toThrow(
      'other@1.0.0 has no text of its licence',
    );
  });

  it.each(['GPL-3.0', 'MIT OR GPL-3.0', 'MIT AND AGPL-3.0', undefined, { type: 'MIT' }, ''])(
    'is refused with the licence %j',
    (license) => {
      expect(() => noticesOf([packageOf(license, { LICENSE: 'text' })])).toThrow('is not allowed');
    },
  );

  it('has its licences and its notices in the text', () => {
    const files = { 'LICENSE.md': 'one', 'license-other': 'two', NOTICE: 'three' };
    const text = noticesOf([packageOf('(MIT AND Apache-2.0)', files)]);
    for (const part of Object.values(files)) expect(text).toContain(`\n${part}\n`);
  });
});
