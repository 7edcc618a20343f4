/**
 * Whether modules_to_save names a module, or one that contains it, by PEFT's rule: the name is a
 * suffix of the module's path ("classifier" also means pre_classifier).
 */
export function isModuleToSave(path: string, modules_to_save: readonly string[] | null): boolean {
  const parts = path.split('.');
  const ownAndContaining = parts.map((_, i) => parts.slice(0, i + 1).join('.'));
  const names = modules_to_save ?? [];
  return ownAndContaining.some((own) => names.some((name) => own.endsWith(name)));
}
