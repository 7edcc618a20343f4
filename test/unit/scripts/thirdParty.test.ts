import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
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

describe('the libraries inside compiled files', () => {
  const folder = 'node_modules/@tensorflow/tfjs-backend-wasm';
  const { version } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as {
    readonly version: string;
  };
  const own = {
    name: '@tensorflow/tfjs-backend-wasm',
    version,
    license: 'Apache-2.0',
    folder: path.resolve(folder),
  };
  const PARTS = [
    'XNNPACK',
    'pthreadpool',
    'cpuinfo',
    'FP16',
    'FXdiv',
    'emscripten',
    'musl',
    'LLVM',
  ];

  it('are those of every package whose .wasm files are copied', () => {
    const wasm = readdirSync('out/thirdParty').filter((file) => file.endsWith('.wasm'));
    expect(wasm.length).toBeGreaterThan(0);
    for (const file of wasm) {
      const bytes = readFileSync(path.join('out/thirdParty', file));
      expect(bytes.equals(readFileSync(path.join(folder, 'dist', file)))).toBe(true);
      expect(bytes.includes('XNN status')).toBe(true);
    }
  });

  it('have their notices, with copyrights and conditions', () => {
    const [, text = ''] = noticesOf([own]).split('Its compiled files also contain:');
    for (const part of PARTS) expect(text).toMatch(new RegExp(`^${part}.* \\(.+\\)$`, 'm'));
    for (const line of [
      'Copyright 2019 Google LLC',
      'Neither the name Facebook nor the names of its contributors',
      'Redistributions in binary form must reproduce the above copyright notice',
      'Permission is hereby granted, free of charge',
      'LLVM Exceptions to the Apache 2.0 License',
    ])
      expect(text).toContain(line);
  });

  it('are listed inside the package', () => {
    const { components } = bomOf([own], manifest);
    const parts = components[0]!['components'] as { name: string; purl: string }[];
    expect(parts.map(({ name }) => name.split(' ')[0])).toEqual(PARTS);
    for (const { purl } of parts) expect(purl).toMatch(/^pkg:(?:github|generic)\//);
  });

  it('are looked up again for another version of the package', () => {
    expect(() => noticesOf([{ ...own, version: '9.0.0' }])).toThrow(
      'tfjs-backend-wasm@9.0.0 has compiled files',
    );
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
