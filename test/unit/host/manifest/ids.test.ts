import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { AGENT_TOOLS } from '../../../../src/shared/agentTools';
import { COMMANDS, type CommandSpec } from '../../../../src/host/commands/commandTable';
import {
  CONTEXT_KEYS,
  MCP_PROVIDER,
  SETTINGS,
  TASK_IDS,
  VIEWS,
  WALKTHROUGH,
  isRecipeName,
} from '../../../../src/host/manifest/ids';

interface Entry {
  readonly submenu?: string;
  readonly command?: string;
  readonly id?: string;
  readonly when?: string;
  readonly group?: string;
  readonly enablement?: string;
  readonly view?: string;
}
interface Manifest {
  readonly activationEvents: readonly string[];
  readonly icon: string;
  readonly capabilities: {
    readonly untrustedWorkspaces: { readonly restrictedConfigurations: readonly string[] };
  };
  readonly contributes: {
    readonly commands: readonly (Entry & {
      readonly command: string;
      readonly category: string;
      readonly title: string;
    })[];
    readonly menus: Readonly<Record<string, readonly Entry[]>>;
    readonly submenus: readonly { readonly id: string }[];
    readonly views: Readonly<Record<string, readonly Entry[]>>;
    readonly viewsWelcome: readonly Entry[];
    readonly configuration: { readonly properties: Readonly<Record<string, unknown>> };
    readonly customEditors: readonly { readonly viewType: string }[];
    readonly languageModelTools: readonly {
      readonly name: string;
      readonly modelDescription: string;
      readonly inputSchema: object;
    }[];
    readonly mcpServerDefinitionProviders: readonly { readonly id: string }[];
    readonly taskDefinitions: readonly { readonly type: string }[];
    readonly problemMatchers: readonly {
      readonly name: string;
      readonly pattern: { readonly regexp: string };
    }[];
    readonly keybindings: readonly { readonly command: string; readonly when: string }[];
    readonly walkthroughs: readonly {
      readonly id: string;
      readonly steps: readonly { readonly media: { readonly markdown: string } }[];
    }[];
  };
}

const text = readFileSync('package.json', 'utf8');
const manifest = JSON.parse(text) as Manifest;
const { contributes } = manifest;
const allCommands: readonly CommandSpec[] = Object.values(COMMANDS);
const commandIds: ReadonlySet<string> = new Set(allCommands.map(({ id }) => id));
const sorted = (values: Iterable<string>) => [...values].sort();

describe('package.json and the ids in the code', () => {
  it('name the same commands', () => {
    expect(sorted(contributes.commands.map((c) => c.command))).toEqual(sorted(commandIds));
  });

  it('name the same settings, views, editors, tasks, tools, walkthrough and panels', () => {
    expect(sorted(Object.keys(contributes.configuration.properties))).toEqual(
      sorted(Object.values(SETTINGS)),
    );
    expect(
      Object.entries(contributes.views).map(([container, views]) => [
        container,
        views.map((v) => v.id),
      ]),
    ).toEqual([[VIEWS.container, [VIEWS.runs]]]);
    expect(contributes.walkthroughs.map((w) => w.id)).toEqual([WALKTHROUGH]);
    for (const view of [VIEWS.dashboard, VIEWS.compare, VIEWS.configure])
      expect(manifest.activationEvents).toContain(`onWebviewPanel:${view}`);
    expect(contributes.customEditors.map((e) => e.viewType)).toEqual([
      VIEWS.inspector,
      VIEWS.certificate,
    ]);
    expect(contributes.mcpServerDefinitionProviders.map((own) => own.id)).toEqual([MCP_PROVIDER]);
    expect([
      contributes.taskDefinitions.map((own) => own.type),
      contributes.problemMatchers.map((own) => own.name),
    ]).toEqual([[TASK_IDS.recipe], [TASK_IDS.problemMatcher]]);
  });

  it('describe the tools of agents as the table that lora mcp reads', () => {
    expect(
      contributes.languageModelTools.map(({ name, modelDescription, inputSchema }) => ({
        name,
        description: modelDescription,
        inputSchema,
      })),
    ).toEqual(
      Object.values(AGENT_TOOLS).map(({ name, description, inputSchema }) => ({
        name,
        description,
        inputSchema,
      })),
    );
  });

  it('put only known commands in menus, under context keys that are set', () => {
    const entries = Object.values(contributes.menus).flat();
    const submenus = new Set(contributes.submenus.map(({ id }) => id));
    expect(
      entries.filter((e) => !commandIds.has(e.command ?? '') && !submenus.has(e.submenu ?? '')),
    ).toEqual([]);
    const keys = new Set(
      [...text.matchAll(/lora\.(?:has|runs|adapter|model)[A-Z]\w*/g)].map(([key]) => key),
    );
    expect(sorted(keys)).toEqual(sorted(Object.values(CONTEXT_KEYS)));
  });

  it('offer about eight entries on a run, and on several only what fits them', () => {
    const holds = (clause: string, viewItem: string, many: boolean): boolean => {
      if (clause.startsWith('!')) return !holds(clause.slice(1), viewItem, many);
      const [, pattern] = /^\(?viewItem =~ \/(.+)\/\)?$/.exec(clause) ?? [];
      if (pattern !== undefined) return new RegExp(pattern).test(viewItem);
      return clause === 'listMultiSelection' ? many : clause === 'view == lora.runs';
    };
    const entriesOn = (viewItem: string, many = false) =>
      contributes.menus['view/item/context']!.filter(({ group }) => !group!.startsWith('inline'))
        .filter(({ when }) => when!.split(' && ').every((part) => holds(part, viewItem, many)))
        .map(({ command, submenu }) => (command ?? submenu)!.replace('lora.', ''));
    expect(entriesOn('run completed adapter recipe')).toEqual([
      'openDashboard',
      'tryAdapter',
      'runAgain',
      'renameRun',
      'menuAdapter',
      'menuRun',
      'deleteRun',
    ]);
    expect(entriesOn('run running active recipe')).toHaveLength(7);
    expect(entriesOn('run broken')).toEqual(['openDashboard', 'renameRun', 'menuRun', 'deleteRun']);
    expect(entriesOn('part checkpoint adapter')).toEqual([
      'openRunPart',
      'tryAdapter',
      'menuAdapter',
    ]);
    expect(entriesOn('run completed adapter recipe', true)).toEqual([
      'overlayRuns',
      'tryAdapter',
      'compareAdapters',
      'combineAdapters',
      'startServer',
      'evaluate',
      'tagRun',
      'deleteRun',
    ]);
  });

  it('bind keys to known commands, and only within the Runs view', () => {
    expect(
      contributes.keybindings.filter(
        (own) =>
          !commandIds.has(own.command) ||
          !own.when.includes(`focusedView == '${VIEWS.runs}'`) ||
          !own.when.includes('!inputFocus'),
      ),
    ).toEqual([]);
  });

  it('ask for trust in the same commands', () => {
    expect(
      sorted(
        contributes.commands
          .filter((c) => c.enablement === 'isWorkspaceTrusted')
          .map((c) => c.command),
      ),
    ).toEqual(sorted(allCommands.filter((c) => c.needsTrust).map(({ id }) => id)));
  });

  it('keep the folder of an untrusted workspace from choosing programs, folders, privacy and machines', () => {
    const { restrictedConfigurations } = manifest.capabilities.untrustedWorkspaces;
    expect(sorted(restrictedConfigurations)).toEqual(
      sorted([
        SETTINGS.runtimePath,
        SETTINGS.runtimeUrl,
        SETTINGS.modelFolders,
        SETTINGS.privateRuns,
        SETTINGS.targets,
      ]),
    );
    const { properties } = contributes.configuration;
    for (const name of [SETTINGS.runtimePath, SETTINGS.targets])
      expect(properties[name]).toMatchObject({ scope: 'machine' });
    const paths = Object.keys(properties).filter((name) => /path|folder|home|python/i.test(name));
    expect(restrictedConfigurations).toEqual(expect.arrayContaining(paths));
  });

  it('take the folder of native code from the settings of the machine, never of a workspace', () => {
    expect(contributes.configuration.properties[SETTINGS.runtimePath]).toMatchObject({
      scope: 'machine',
    });
  });

  it('name files that exist', () => {
    const files = [
      manifest.icon,
      ...contributes.walkthroughs.flatMap((w) => w.steps.map((s) => s.media.markdown)),
      ...[...text.matchAll(/"(?:\.\/)?(media\/[^"]+)"/g)].map((m) => m[1]!),
    ];
    expect(files.filter((file) => !existsSync(file))).toEqual([]);
  });

  it('have welcome views with exactly one button each', () => {
    const nls = JSON.parse(readFileSync('package.nls.json', 'utf8')) as Record<string, string>;
    for (const key of [
      'welcome.train',
      'welcome.noFolder',
      'welcome.untrusted',
      'welcome.filtered',
    ]) {
      expect(
        nls[key]!.split('\n').filter((line) => /^\[[^\]]+\]\(command:[^)]+\)$/.test(line)),
      ).toHaveLength(1);
    }
  });
});

describe('the problem matcher', () => {
  it.each([
    [
      '/w/lora.json:3:5, key lora.r: "lora.r" must be at least 1, not 0.',
      ['/w/lora.json', '3', '5', '"lora.r" must be at least 1, not 0.'],
    ],
    [
      '  /w/data/train.jsonl:12: The row is empty.',
      ['/w/data/train.jsonl', '12', undefined, 'The row is empty.'],
    ],
  ])('finds file, line and fault in %s', (line, parts) => {
    expect(
      [...new RegExp(contributes.problemMatchers[0]!.pattern.regexp).exec(line)!].slice(1),
    ).toEqual(parts);
  });

  it('ignores the progress of a run in the terminal', () => {
    expect(
      new RegExp(contributes.problemMatchers[0]!.pattern.regexp).exec(
        'step 40  loss 0.146  164 tokens/s  1.40 GiB',
      ),
    ).toBeNull();
  });
});

it('repeats no category in the title of a command', () => {
  const texts = JSON.parse(readFileSync('package.nls.json', 'utf8')) as Record<string, string>;
  const text = (key: string) => texts[key.replaceAll('%', '')] ?? key;
  const repeated = manifest.contributes.commands
    .map(({ category, title }) => [text(category), text(title)] as const)
    .filter(([category, title]) => {
      const noun = category.split(' ')[1];
      return noun !== undefined && new RegExp(`\\b${noun}s?\\b(?! Again)`).test(title);
    });
  expect(repeated).toEqual([]);
});

it('recognizes recipes by their file names', () => {
  expect(
    ['lora.json', '/a/lora.json', 'C:\\a\\lora.json', 'git.lora.json'].map(isRecipeName),
  ).toEqual([true, true, true, true]);
  expect(['flora.json', 'lora.jsonl', '/a/xlora.json', 'lora.json.bak'].map(isRecipeName)).toEqual([
    false,
    false,
    false,
    false,
  ]);
});
