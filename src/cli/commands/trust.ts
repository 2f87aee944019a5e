// `tunnel trust`: not here yet.
import type { Run } from '../command.ts';
export const trust: Run = () => Promise.reject(new Error('not here yet'));
