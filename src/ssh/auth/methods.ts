// The table of authentication methods: what each is called, what it needs, and the steps it takes within one login.
// A new method is five places: a row here; a file of its steps beside key.ts; its name in AuthMethod (model/host.ts) and in
// the list of config/schema.ts; and PreferredAuthentications in config/ssh-config/settings.ts.
import type { AuthMethod } from '../../model/host.ts';
import { HostbasedSteps } from './hostbased.ts';
import { InteractiveSteps } from './interactive.ts';
import type { AuthReply } from '../ssh2/auth.ts';
import type { Login } from './login.ts';
import { PasswordSteps } from './password.ts';

/** How a step ended: with the server's word, by nothing being offered, or by a person who does not want to go on. */
export type StepEnd =
  | Extract<AuthReply, { kind: 'success' | 'failure' }>
  | { readonly kind: 'skipped' }
  | { readonly kind: 'stop' };

export type Step = () => Promise<StepEnd>;

/** The server refused a step, or took it and wants more (`partial`). */
export type Refusal = Extract<StepEnd, { kind: 'failure' }>;

/** A method within one login. */
export interface Steps {
  /** The next step; null when there is nothing to try now. */
  next(): Step | null | Promise<Step | null>;
  /** The server's word after any step; `own`: after one of this method. */
  heard?(end: Refusal, own: boolean): void;
  /** Notes what a person would have answered, had one been there. */
  noteMissing?(): void;
}

export interface Method {
  /** As requests and the server's lists name it (RFC 4252 5). */
  readonly wire: string;
  /** What has to be there for it. Only keys can be proven; a host key is this machine's. */
  readonly needs: 'nothing' | 'key' | 'host-key' | 'person';
  /** The config may say where its answer is stored: then it needs no person. */
  readonly stored: boolean;
  readonly start: (login: Login) => Steps;
}

/** Where several could have done with a person there, the first here is what status asks for. */
export const methods: Readonly<Record<AuthMethod, Method>> = {
  none: { wire: 'none', needs: 'nothing', stored: false, start: (login) => login.noneSteps() },
  agent: { wire: 'publickey', needs: 'key', stored: false, start: (login) => login.keys.ofAgent() },
  publickey: { wire: 'publickey', needs: 'key', stored: false, start: (login) => login.keys.ofFiles() },
  hostbased: {
    wire: 'hostbased',
    needs: 'host-key',
    stored: false,
    start: (login) => new HostbasedSteps(login),
  },
  password: { wire: 'password', needs: 'person', stored: true, start: (login) => new PasswordSteps(login) },
  'keyboard-interactive': {
    wire: 'keyboard-interactive',
    needs: 'person',
    stored: true,
    start: (login) => new InteractiveSteps(login),
  },
};

export const methodNames = Object.keys(methods) as readonly AuthMethod[];

/** What a server can ask for that we could do. */
export const wireNames: readonly string[] = methodNames
  .filter((name) => name !== 'none')
  .map((name) => methods[name].wire);
