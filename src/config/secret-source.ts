// Secret sources as the config writes them. A literal secret is refused, and never repeated in the message. Pure.
import { parse as parseYaml } from 'yaml';
import type { SecretRef } from '../model/secret.ts';
import { argumentList, ok, storeSecret, wrong, type Parsed } from './value.ts';

const forms = 'must be keychain, prompt, env:NAME, file:PATH or command:[program, argument]';

/** keychain | prompt | env:NAME | file:PATH | command:[argv...], the last also as a map `command: [argv...]`. */
export function secretSource(value: unknown): Parsed<SecretRef> {
  if (value === 'keychain' || value === 'prompt') return ok({ from: value });
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return fromMap(value);
  if (value === null) return wrong('is empty');
  if (typeof value !== 'string') return literal();
  const [, kind = '', rest = ''] = /^(env|file|command):(.*)$/s.exec(value) ?? [];
  if (kind === 'env') return variable(rest.trim());
  if (kind === 'file') return file(rest.trim());
  if (kind === 'command') return command(rest.trim());
  return literal();
}

function fromMap(value: object): Parsed<SecretRef> {
  const [[kind, rest] = ['', undefined], more] = Object.entries(value);
  if (more !== undefined) return wrong(forms);
  if (kind === 'command') return argv(rest);
  if (kind === 'env' && typeof rest === 'string') return variable(rest);
  if (kind === 'file' && typeof rest === 'string') return file(rest);
  return wrong(forms);
}

function variable(name: string): Parsed<SecretRef> {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
    ? ok({ from: 'env', name })
    : wrong('must be env:NAME, with the name of an environment variable');
}

/** `$CREDENTIALS_DIRECTORY/…` is where systemd puts a service's secrets (systemd.exec(5)). */
function file(path: string): Parsed<SecretRef> {
  return path === '' ? wrong('must be file:PATH') : ok({ from: 'file', path });
}

function command(written: string): Parsed<SecretRef> {
  if (!written.startsWith('[') || !written.endsWith(']'))
    return wrong('must give the command as a list: command:[program, argument]');
  try {
    return argv(parseYaml(written, { logLevel: 'silent' }));
  } catch {
    return wrong(
      'must give the command as a list: command:[program, argument], with quotes where YAML needs them',
    );
  }
}

function argv(value: unknown): Parsed<SecretRef> {
  const read = argumentList(value);
  if ('problem' in read)
    return wrong('must give the command as a list of text: command: [program, argument]');
  return ok({ from: 'command', argv: read.value });
}

function literal(): Parsed<SecretRef> {
  return wrong(
    `${forms}; a secret itself never stands in this file: put it into the keychain with tunnel secret set`,
    storeSecret,
  );
}
