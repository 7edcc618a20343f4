import { noChange } from 'lit-html';
import { setCommittedValue } from 'lit-html/directive-helpers.js';
import {
  Directive,
  directive,
  PartType,
  type DirectiveParameters,
  type PartInfo,
  type PropertyPart,
} from 'lit-html/directive.js';

class EditableValue extends Directive {
  private field: HTMLInputElement | undefined;
  private value = '';
  private isEdited = false;

  constructor(part: PartInfo) {
    super(part);
    if (part.type !== PartType.PROPERTY || part.name !== 'value')
      throw new Error('editable() is for .value alone.');
  }

  render(value: string): unknown {
    return value;
  }

  override update(part: PropertyPart, [value]: DirectiveParameters<this>): unknown {
    this.value = value;
    this.field ??= this.follow(part.element as HTMLInputElement);
    if (this.isEdited || this.field.value === value) return noChange;
    setCommittedValue(part);
    return value;
  }

  private follow(field: HTMLInputElement): HTMLInputElement {
    field.addEventListener('input', () => {
      this.isEdited = true;
    });
    field.addEventListener('change', () => {
      this.isEdited = false;
    });
    // there is no change event if the text ends as it began, or the field was set meanwhile
    field.addEventListener('blur', () => {
      if (this.isEdited) field.value = this.value;
      this.isEdited = false;
    });
    return field;
  }
}

/**
 * The value of a field whose text becomes part of the state with its change event, for
 * `.value=${editable(…)}`: what the user has begun to type, or a slider that is held, is not
 * overwritten when the page is drawn meanwhile.
 */
export const editable = directive(EditableValue);
