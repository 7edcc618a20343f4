import { cpus, availableParallelism } from 'node:os';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { findGpu, type Gpu } from '../../runtime/gpu';
import { downloadSize, PLATFORM_PINS, platformKey, TENSORFLOW_VERSION } from '../../runtime/pins';
import type {
  InstallOptions,
  InstallProgress,
  Runtime,
  RuntimeOptions,
} from '../../runtime/runtime';
import { thisMachine, type TargetMachine } from '../../runtime/targetMachine';
import { formatBytes } from '../text/format';
import { COMMANDS } from '../commands/commandTable';
import { SETTINGS } from '../manifest/ids';
import type { ExtensionLog } from '../errors/extensionLog';
import { t } from '../text/l10n';
import { copyToClipboard, notify } from '../ui/messages';
import { withNotification } from '../ui/progress';
import { hostEnvironment } from '../engine/hostEnvironment';
import { OpenQuestion } from './openQuestion';
import { describeRuntime } from './describeRuntime';
import { companionFolder, runtimeVariables } from './runtimeSettings';

/** Environment variables that select the engine's runtime. */
export type RuntimeEnv = Readonly<Record<string, string>>;

/** Which runtime to install. */
type RuntimeAnswer = RuntimeDevice | 'companion' | 'none';

/** Which runtimes can be installed, and what that means. */
export interface RuntimeOffer {
  readonly text: string;
  /** What to install, each with its size. */
  readonly choices: readonly {
    readonly label: string;
    readonly description: string;
    readonly device: RuntimeDevice;
  }[];
}

/** Whether TensorFlow for the CPU is installed, or that with CUDA. */
export type RuntimeDevice = 'cpu' | 'gpu';

interface Found {
  readonly runtime: Runtime;
  readonly env: RuntimeEnv;
}

/**
 * Finds the runtime, and installs one after asking. The modules that find and install it are loaded
 * when they are needed.
 */
export class RuntimeService {
  private asking: Promise<RuntimeEnv | undefined> | undefined;
  /** Whether to install a runtime, while something waits for one. */
  readonly question = new OpenQuestion<RuntimeAnswer>();

  /** `dist`: folder of the bundles. `home`: folder in which runtimes are installed. */
  constructor(
    private readonly dist: string,
    private readonly home: string,
    private readonly log: ExtensionLog,
  ) {}

  /**
   * The environment for an engine, after installing a runtime if there is none. Undefined: the user
   * declined.
   *
   * @param missing Called when there is none, before the user is asked.
   * @throws LoraError('runtime') when the configured runtime cannot be used.
   */
  async ensure(missing: () => void = () => undefined): Promise<RuntimeEnv | undefined> {
    const found = await this.find();
    if (!found) {
      missing();
      return this.askOnce();
    }
    if (found.runtime.kind === 'wasm') void notify('warning', found.runtime.why);
    return found.env;
  }

  /**
   * Installs TensorFlow, for the GPU with CUDA, under a notification with progress. Undefined:
   * cancelled.
   *
   * @throws LoraError('runtime') when every source has failed.
   */
  async install(device: RuntimeDevice = 'cpu'): Promise<RuntimeEnv | undefined> {
    return withNotification(t('Installing libtensorflow'), async (report, token) => {
      const controller = new AbortController();
      token.onCancellationRequested(() => controller.abort());
      let shown = 0;
      try {
        const install =
          device === 'gpu'
            ? (await import('../../runtime/installGpu')).installGpuRuntime
            : (await import('../../runtime/installRuntime')).installRuntime;
        const runtime = await install(
          this.optionsFor(this.home),
          {
            signal: controller.signal,
            log: (line) => this.log.info(line),
            onProgress: ({ message, fraction }) => {
              const percent = fraction === null ? shown : 100 * fraction;
              report(message, Math.max(0, percent - shown));
              shown = Math.max(shown, percent);
            },
          },
          hostMachine(),
        );
        this.log.info(await this.describe(runtime));
        return this.envOf(this.home);
      } catch (error) {
        if (controller.signal.aborted) return undefined;
        throw error;
      }
    });
  }

  /** With the speed of a product of matrices, which takes a second. */
  private async describe(runtime: Runtime | null): Promise<string> {
    const { measureRuntime } = await import('../../runtime/probe');
    const { searchOrder } = await import('../../runtime/searchOrder');
    const gflops =
      runtime && (await measureRuntime(runtime, this.dist, { env: hostEnvironment() }));
    const gpu = await findGpu(hostEnvironment());
    const order = searchOrder(runtime, this.optionsFor(this.home));
    return describeRuntime(runtime, { cpu: processor(), gpu, gflops, order });
  }

  /** Shows which runtime is used, with buttons to install another or to change the setting. */
  async show(): Promise<void> {
    const found = await this.find();
    const gpu = await findGpu(hostEnvironment());
    const text = await this.describe(found?.runtime ?? null);
    this.log.info(text);
    const [copy, install, forGpu, setting] = [
      t('Copy'),
      found ? t('Reinstall') : t('Install Runtime'),
      t('Install for the GPU'),
      t('Change Setting'),
    ];
    const isOnGpu = found?.runtime.kind === 'tensorflow' && found.runtime.device === 'gpu';
    const chosen = await notify('information', text, [
      ...(found ? [copy] : []),
      install,
      ...(canUse(gpu) && !isOnGpu ? [forGpu] : []),
      setting,
    ]);
    if (chosen === copy) await copyToClipboard(text);
    if (chosen === install) await vscode.commands.executeCommand(COMMANDS.installRuntime.id);
    if (chosen === forGpu && (await this.install('gpu'))) await this.show();
    if (chosen === setting)
      await vscode.commands.executeCommand('workbench.action.openSettings', SETTINGS.runtimePath);
  }

  /** Two runs that start at the same time share one question. */
  private async askOnce(): Promise<RuntimeEnv | undefined> {
    if (this.asking && this.question.isOpen) void this.question.remind();
    return this.inTurn(() => this.ask());
  }

  private async inTurn(
    work: () => Promise<RuntimeEnv | undefined>,
  ): Promise<RuntimeEnv | undefined> {
    this.asking ??= work();
    try {
      return await this.asking;
    } finally {
      this.asking = undefined;
    }
  }

  /** What can be installed on this machine. */
  async offer(): Promise<RuntimeOffer> {
    const pin = PLATFORM_PINS[platformKey()];
    const size = formatBytes(pin ? downloadSize(pin) : 0);
    const gpu = await findGpu(hostEnvironment());
    const forGpu = canUse(gpu)
      ? [
          {
            label: t('Install for the GPU'),
            description: t('{0} download', formatBytes(GPU_BYTES)),
            device: 'gpu' as const,
          },
        ]
      : [];
    const mirror = runtimeVariables().LORA_RUNTIME_URL;
    const question = mirror
      ? t(
          'Training needs libtensorflow {0}. It is installed once from {1} ({2} download).',
          TENSORFLOW_VERSION,
          mirror,
          size,
        )
      : t(
          'Training needs libtensorflow {0}. It is installed once with your own pip ({1} download). If a local Python already has TensorFlow, that one is used.',
          TENSORFLOW_VERSION,
          size,
        );
    const more = t(
      'For {0}, TensorFlow with CUDA can be installed ({1} download).',
      gpu?.name ?? '',
      formatBytes(GPU_BYTES),
    );
    return {
      text: forGpu.length > 0 ? `${question} ${more}` : question,
      choices: [
        {
          label: t('Install'),
          description: t('{0} download', size),
          device: 'cpu',
        },
        ...forGpu,
      ],
    };
  }

  /** Installs a runtime that the user chose before anything waits for it; `ensure` waits then. */
  async installAhead(device: RuntimeDevice): Promise<void> {
    await this.inTurn(() => this.installOrOffer(device));
  }

  private async ask(): Promise<RuntimeEnv | undefined> {
    const { text, choices } = await this.offer();
    const cancel = t('Cancel');
    const answer = await this.question.ask(async (): Promise<RuntimeAnswer | undefined> => {
      const labels = choices.map(({ label }) => label);
      const chosen = await notify('information', text, [...labels, cancel]);
      if (chosen === cancel) return 'none';
      return choices.find(({ label }) => label === chosen)?.device;
    });
    if (answer === 'none') return undefined;
    return answer === 'companion' ? (await this.find())?.env : this.installOrOffer(answer);
  }

  /**
   * Continues with what waits for a runtime when the user has installed the companion extension.
   */
  extensionsChanged(): void {
    if (companionFolder() !== null) this.question.answer('companion');
  }

  private async installOrOffer(device: RuntimeDevice): Promise<RuntimeEnv | undefined> {
    try {
      return await this.install(device);
    } catch (error) {
      return this.offerWebAssembly(LoraError.from(error, 'runtime'));
    }
  }

  /** WebAssembly is far slower, so the user must agree. */
  private async offerWebAssembly(error: LoraError): Promise<RuntimeEnv | undefined> {
    this.log.error(error.describe());
    const [slow, log] = [t('Train Slowly with WebAssembly'), t('Show Log')];
    const chosen = await notify('error', error.message, [slow, log]);
    if (chosen === log) this.log.show();
    return chosen === slow ? { LORA_RUNTIME: 'wasm' } : undefined;
  }

  /** The installed runtime; null when there is none. Can start programs to look for it. */
  async findRuntime(): Promise<Runtime | null> {
    return (await this.find())?.runtime ?? null;
  }

  /** The runtime of the setting or of this extension, else that of the command line. */
  private async find(): Promise<Found | null> {
    const { defaultRuntimeHome, findRuntime } = await import('../../runtime/findRuntime');
    const { forgetCompanions } = await import('../../runtime/companion');
    await forgetCompanions(this.home, companionFolder());
    return whileChecking(async (options) => {
      for (const home of new Set([this.home, defaultRuntimeHome()])) {
        const runtime = await findRuntime(this.optionsFor(home), hostMachine(), options);
        if (runtime) return { runtime, env: this.envOf(home) };
      }
      return null;
    });
  }

  private optionsFor(home: string): RuntimeOptions {
    const { LORA_RUNTIME_PATH, LORA_RUNTIME_URL, LORA_RUNTIME_COMPANION } = runtimeVariables();
    return {
      dist: this.dist,
      home,
      path: LORA_RUNTIME_PATH,
      url: LORA_RUNTIME_URL,
      companion: LORA_RUNTIME_COMPANION,
    };
  }

  private envOf(home: string): RuntimeEnv {
    const chosen = Object.entries(runtimeVariables()).filter(
      (entry): entry is [string, string] => entry[1] !== null,
    );
    return { LORA_RUNTIME_HOME: home, ...Object.fromEntries(chosen) };
  }
}

/** Shows a notification while the libraries of a runtime are checked, which are gigabytes. */
async function whileChecking<T>(work: (options: InstallOptions) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const ended = new AbortController();
  const untilEnd = new Promise<void>((resolve) => {
    ended.signal.addEventListener('abort', () => resolve());
  });
  let isShown = false;
  const onProgress = ({ message }: InstallProgress) => {
    if (isShown) return;
    isShown = true;
    void withNotification(message, (_, token) => {
      token.onCancellationRequested(() => controller.abort());
      return untilEnd;
    });
  };
  try {
    return await work({ signal: controller.signal, log: () => undefined, onProgress });
  } finally {
    ended.abort();
  }
}

/** The download size of TensorFlow with CUDA; 0 where there is none for this platform. */
const GPU_PIN = PLATFORM_PINS[platformKey()]?.gpu;
const GPU_BYTES = GPU_PIN ? downloadSize(GPU_PIN) : 0;
const canUse = (gpu: Gpu | null): boolean => gpu !== null && GPU_BYTES > 0;

const processor = () => ({
  model: cpus()[0]?.model ?? process.arch,
  cores: availableParallelism(),
});

/** This machine, with the environment of programs that the extension starts. */
function hostMachine(): TargetMachine {
  const machine = thisMachine();
  const env = hostEnvironment();
  return {
    ...machine,
    env,
    probe: (binding, dist, options) => machine.probe(binding, dist, { ...options, env }),
  };
}
