/**
 * Whether modules_to_save names a module or one that it is part of, by PEFT's rule: the name is the
 * end of the module's path ("classifier" means pre_classifier too).
 */
export function isModuleToSave(path: string, modules_to_save: readonly string[] | null): boolean {
  const parts = path.split('.');
  return parts.some((_, i) =>
    (modules_to_save ?? []).some((name) =>
      parts
        .slice(0, i + 1)
        .join('.')
        .endsWith(name),
    ),
  );
}
