// The hint of an error as a person reads it.
import type { Hint } from '../../src/errors.ts';
import { hintText } from '../../src/render/error.ts';

/** Null: it has none, or there is no error. */
export function hintOf(error: { readonly hint: Hint | null } | null | undefined): string | null {
  return error?.hint == null ? null : hintText(error.hint);
}

/** Stands for a hint in `toMatchObject` and its kin: its text is this one, or holds what the expression asks for. */
export function hinting(expected: string | RegExp): object {
  return {
    asymmetricMatch(hint: Hint | null): boolean {
      const text = hintOf({ hint });
      return typeof expected === 'string' ? text === expected : expected.test(text ?? '');
    },
    toString: () => `hint ${String(expected)}`,
  };
}
