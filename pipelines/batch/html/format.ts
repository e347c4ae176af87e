/** Numbers for people. Pure. */

const NUMBER = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 })

export function count(n: number): string {
  return NUMBER.format(n)
}

export function bytes(n: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let value = n
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024
  return `${unit === 0 ? count(value) : value.toFixed(value < 10 ? 2 : 1)} ${units[unit]}`
}

export function seconds(s: number): string {
  if (s < 1) return `${Math.round(s * 1000)} ms`
  if (s < 90) return `${s.toFixed(s < 10 ? 2 : 1)} s`
  return s < 5400 ? `${Math.floor(s / 60)} min ${Math.round(s % 60)} s` : `${(s / 3600).toFixed(1)} h`
}

export function money(amount: number, currency: string): string {
  return amount > 0 && amount < 0.01 ? `less than ${currency} 0.01` : `${currency} ${amount.toFixed(2)}`
}
