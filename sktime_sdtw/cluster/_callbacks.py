"""Progress through scikit-learn's callbacks, where scikit-learn has them (1.9 and later)."""

from __future__ import annotations

from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in where scikit-learn has no callbacks."""

    def with_callbacks(method: Any) -> Any:
        """Leave the method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "Progress", "with_callbacks"]


class Progress:
    """One task of a fit: the fit itself, one of its runs, one iteration of a run.

    Does nothing where there are no callbacks to tell.
    """

    def __init__(self, estimator: Any, context: Any) -> None:
        self._estimator = estimator
        self._context = context

    @classmethod
    def of_fit(cls, estimator: Any, n_runs: int) -> Progress:
        """The root of the tasks."""
        if not hasattr(estimator, "_init_callback_context"):
            return cls(estimator, None)
        return cls(estimator, estimator._init_callback_context(max_subtasks=n_runs))

    def begin(self, X: Any) -> Progress:
        """Tell that the task begins."""
        if self._context is not None:
            self._context.call_on_fit_task_begin(estimator=self._estimator, X=X)
        return self

    def part(self, name: str, n_parts: int) -> Progress:
        """A task below this one, with so many below it at most."""
        if self._context is None:
            return self
        return Progress(self._estimator, self._context.subcontext(task_name=name, max_subtasks=n_parts))

    def end(self, X: Any, attributes: Any = None) -> bool:
        """Tell that the task ends; whether a callback asks to stop.

        Parameters
        ----------
        X : the data
        attributes : callable, optional
            Makes the fitted attributes as of now, for callbacks that look at them.
        """
        if self._context is None:
            return False
        return bool(
            self._context.call_on_fit_task_end(
                estimator=self._estimator, X=X, reconstruction_attributes=attributes
            )
        )
