// The packages whose code is in dist/: their licences (ThirdPartyNotices.txt) and the list of them
// in CycloneDX's format.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { compiledIn, componentOfPart, noticeOfPart } from './compiledIn.mjs';

const root = path.resolve(import.meta.dirname, '..');
/** The standard texts of licences. */
const texts = path.join(import.meta.dirname, 'licences');

/** Licences that allow what this extension does: to distribute it, minified, with their text. */
const ALLOWED = [
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'CC-BY-4.0',
  'ISC',
  'MIT',
  'Python-2.0',
];

/** Whose packages are published without the text of their licence, and who holds the rights. */
const WITHOUT_TEXT = [
  { name: /^@tensorflow\//, license: 'Apache-2.0', holder: 'Copyright Google LLC' },
  { name: /^@microsoft\/fast-/, license: 'MIT', holder: 'Copyright (c) Microsoft Corporation' },
  { name: /^gearhash-jit$/, license: 'MIT', holder: 'Copyright (c) the authors of gearhash-jit' },
  { name: /^seedrandom$/, license: 'MIT', holder: 'Copyright 2019 David Bau' },
  { name: /^tr46$/, license: 'MIT', holder: 'Copyright (c) Sebastian Mayr' },
];

/** What dist/ has beside the bundles, made from this package: the .wasm files, the binding. */
const COPIED = ['@tensorflow/tfjs-backend-wasm', '@tensorflow/tfjs-node'];

/**
 * The packages of which esbuild's metafiles (`writeBundles` returns them) put code into a bundle,
 * and those that are copied; sorted. Each is { name, version, license, folder }.
 * @throws {Error} for code outside of a package.
 */
export function bundledPackages(metafiles) {
  const inputs = metafiles.flatMap(({ outputs }) =>
    Object.values(outputs).flatMap((output) =>
      Object.entries(output.inputs)
        .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
        .map(([file]) => file),
    ),
  );
  const files = inputs.filter((file) => file.includes('node_modules/'));
  const folders = [
    ...files.map((file) => packageFolder(path.resolve(root, file))),
    ...COPIED.map((name) => path.join(root, 'node_modules', name)),
  ];
  const packages = [...new Set(folders)].map(describePackage);
  const unique = new Map(packages.map((own) => [`${own.name}@${own.version}`, own]));
  return [...unique.keys()].sort().map((key) => unique.get(key));
}

/** The nearest folder above a file that is a package: some have files that only set a type. */
function packageFolder(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, 'package.json');
    if (existsSync(manifest)) {
      const { name, version } = JSON.parse(readFileSync(manifest, 'utf8'));
      if (name && version) return folder;
    }
    if (path.basename(folder) === 'node_modules') throw new Error(`${file} is in no package.`);
  }
}

function describePackage(folder) {
  const { name, version, license } = JSON.parse(
    readFileSync(path.join(folder, 'package.json'), 'utf8'),
  );
  return { name, version, license, folder };
}

/**
 * The text for ThirdPartyNotices.txt.
 * @throws {Error} that lists the packages without the text of their licence, or with a licence that
 *   is not allowed.
 */
export function noticesOf(packages) {
  const problems = packages.flatMap(problemOf);
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return `${[INTRODUCTION, ...packages.map(noticeOf)].join(`\n\n${'-'.repeat(72)}\n\n`)}\n`;
}

const INTRODUCTION = `LoRA Workbench contains code of the packages below, under these licences.

libtensorflow and NVIDIA's libraries are not part of this package: they are downloaded when a
runtime is installed, under licences of their own.`;

/** The licences that all apply: of an expression such as `(MIT AND ISC)`. Of no other form. */
const licencesIn = (license) =>
  String(license)
    .replace(/^\((.+)\)$/, '$1')
    .split(' AND ');

function problemOf(own) {
  const { name, version, license } = own;
  const isAllowed = licencesIn(license).every((id) => ALLOWED.includes(id));
  if (!isAllowed)
    return [`${name}@${version} has the licence ${JSON.stringify(license)}, which is not allowed.`];
  return textsOf(own).length === 0 ? [`${name}@${version} has no text of its licence.`] : [];
}

function noticeOf(own) {
  const parts = compiledIn(own);
  return [
    `${own.name} ${own.version} (${own.license})`,
    ...textsOf(own),
    ...(parts.length > 0 ? ['Its compiled files also contain:', ...parts.map(noticeOfPart)] : []),
  ].join('\n\n');
}

/** The texts of the licence and of notices in the package, else the standard text. */
function textsOf({ name, license, folder }) {
  const names = readdirSync(folder).filter((file) => /^(?:un)?licen[cs]e|^copying/i.test(file));
  const notices = readdirSync(folder).filter((file) =>
    /^(?:third.?party.?)?notices?(?:\.|$)/i.test(file),
  );
  const read = (file) => readFileSync(file, 'utf8').replaceAll('\r\n', '\n').trim();
  const own = names.map((file) => read(path.join(folder, file))).filter(Boolean);
  if (own.length > 0) return [...own, ...notices.map((file) => read(path.join(folder, file)))];
  const standard = WITHOUT_TEXT.find(
    (entry) => entry.name.test(name) && licencesIn(license).includes(entry.license),
  );
  return standard ? [standard.holder, read(path.join(texts, `${standard.license}.txt`))] : [];
}

/** The packages as a CycloneDX 1.6 document; hashes are those of package-lock.json. */
export function bomOf(packages, { name, version }) {
  const { packages: locked } = JSON.parse(
    readFileSync(path.join(root, 'package-lock.json'), 'utf8'),
  );
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: { type: 'application', 'bom-ref': `pkg:npm/${name}@${version}`, name, version },
    },
    components: packages.map((own) => componentOf(own, locked)),
  };
}

function componentOf(own, locked) {
  const { name, version, license, folder } = own;
  const parts = compiledIn(own);
  const place = folder.slice(folder.indexOf('node_modules')).replaceAll(path.sep, '/');
  const [algorithm, digest] =
    /^(sha512)-(.+)$/.exec(locked[place]?.integrity ?? '')?.slice(1) ?? [];
  if (!algorithm) throw new Error(`package-lock.json has no SHA-512 of ${place}.`);
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
  return {
    type: 'library',
    'bom-ref': purl,
    name,
    version,
    purl,
    licenses: [
      licencesIn(license).length === 1 ? { license: { id: license } } : { expression: license },
    ],
    hashes: [{ alg: 'SHA-512', content: Buffer.from(digest, 'base64').toString('hex') }],
    ...(parts.length > 0 && { components: parts.map(componentOfPart) }),
  };
}
