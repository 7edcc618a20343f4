import type { RuntimeDevice, RuntimeService } from '../runtime/runtimeService';
import { t } from '../text/l10n';
import { pick, type PickItem } from '../ui/picker';

/** What the question needs. */
export type RuntimeQuestion = Pick<RuntimeService, 'findRuntime' | 'offer' | 'installAhead'>;

/**
 * Asks whether to install a runtime where there is none; it is installed while the user answers the
 * other questions. False: the user cancelled.
 *
 * @throws LoraError('runtime') when the configured runtime cannot be used.
 */
export async function askRuntime(
  runtime: RuntimeQuestion,
  report: (error: unknown) => void,
): Promise<boolean> {
  if (await runtime.findRuntime()) return true;
  const { text, choices } = await runtime.offer();
  const picked = await pick<RuntimeDevice | 'later'>({
    title: t('Train Adapter: Runtime'),
    first: true,
    placeholder: text,
    isDefault: (choice) => choice === 'cpu',
    fill: (show) =>
      show([
        ...choices.map(({ label, description, device }): PickItem<RuntimeDevice> => ({
          icon: 'cloud-download',
          label,
          description,
          value: device,
        })),
        {
          icon: 'clock',
          label: t('Not Now'),
          description: t('the training waits until the runtime is installed'),
          value: 'later',
        },
      ]),
  });
  if (picked.kind !== 'picked') return false;
  if (picked.value !== 'later') runtime.installAhead(picked.value).catch(report);
  return true;
}
