import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { COMMANDS, CONTEXT_KEYS, NEEDS_TRUST, SETTINGS, VIEWS, WALKTHROUGH } from '../../../src/host/ids';

interface Entry { readonly command?: string; readonly id?: string; readonly when?: string; readonly enablement?: string; readonly view?: string }
interface Manifest {
  readonly activationEvents: readonly string[];
  readonly icon: string;
  readonly capabilities: { readonly untrustedWorkspaces: { readonly restrictedConfigurations: readonly string[] } };
  readonly contributes: {
    readonly commands: readonly (Entry & { readonly command: string })[];
    readonly menus: Readonly<Record<string, readonly Entry[]>>;
    readonly views: Readonly<Record<string, readonly Entry[]>>;
    readonly viewsWelcome: readonly Entry[];
    readonly configuration: { readonly properties: Readonly<Record<string, unknown>> };
    readonly walkthroughs: readonly { readonly id: string; readonly steps: readonly { readonly media: { readonly markdown: string } }[] }[];
  };
}

const text = readFileSync('package.json', 'utf8');
const manifest = JSON.parse(text) as Manifest;
const { contributes } = manifest;
const sorted = (values: Iterable<string>) => [...values].sort();

describe('package.json and the ids in the code', () => {
  it('name the same commands', () => {
    expect(sorted(contributes.commands.map((c) => c.command))).toEqual(sorted(Object.values(COMMANDS)));
  });

  it('name the same settings, views, walkthrough and panel', () => {
    expect(sorted(Object.keys(contributes.configuration.properties))).toEqual(sorted(Object.values(SETTINGS)));
    expect(Object.entries(contributes.views).map(([container, views]) => [container, views.map((v) => v.id)])).toEqual([[VIEWS.container, [VIEWS.runs]]]);
    expect(contributes.walkthroughs.map((w) => w.id)).toEqual([WALKTHROUGH]);
    expect(manifest.activationEvents).toContain(`onWebviewPanel:${VIEWS.dashboard}`);
  });

  it('put only known commands in menus, under context keys that are set', () => {
    const entries = Object.values(contributes.menus).flat();
    const known: ReadonlySet<string> = new Set(Object.values(COMMANDS));
    expect(entries.filter((e) => !known.has(e.command!))).toEqual([]);
    const keys = new Set([...text.matchAll(/lora\.(?:has|runs)[A-Z]\w*/g)].map(([key]) => key));
    expect([...keys]).toEqual(Object.values(CONTEXT_KEYS));
  });

  it('ask for trust in the same commands', () => {
    expect(sorted(contributes.commands.filter((c) => c.enablement === 'isWorkspaceTrusted').map((c) => c.command))).toEqual(sorted(NEEDS_TRUST));
    expect(manifest.capabilities.untrustedWorkspaces.restrictedConfigurations).toContain(SETTINGS.runtimePath);
  });

  it('bring the files that are named', () => {
    const files = [manifest.icon, ...contributes.walkthroughs.flatMap((w) => w.steps.map((s) => s.media.markdown)), ...[...text.matchAll(/"(?:\.\/)?(media\/[^"]+)"/g)].map((m) => m[1]!)];
    expect(files.filter((file) => !existsSync(file))).toEqual([]);
  });

  it('welcome with exactly one button in each state', () => {
    const nls = JSON.parse(readFileSync('package.nls.json', 'utf8')) as Record<string, string>;
    for (const key of ['welcome.train', 'welcome.noFolder', 'welcome.untrusted']) {
      expect(nls[key]!.split('\n').filter((line) => /^\[[^\]]+\]\(command:[^)]+\)$/.test(line))).toHaveLength(1);
    }
  });
});
