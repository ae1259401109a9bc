"""Train LeNet-5 in three ways, and compare the runs in a leaderboard.

The same from a terminal: cnnzoo board board_runs
"""

import cnnzoo

FOLDER = "board_runs"


def main() -> None:
    """Train, evaluate one run once more, and write board.html and board.csv."""
    data = cnnzoo.load_data("digits")
    for name, changes in {"plain": {}, "slow": {"learning_rate": 0.005}, "shifted": {"augment": "shift"}}.items():
        model = cnnzoo.get("lenet5", classes=data.classes)
        recipe = cnnzoo.recipe("digits", epochs=3, **{"augment": "none", **changes})
        cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=f"{FOLDER}/{name}", overwrite=True, verbose=False)
    cnnzoo.evaluate(f"{FOLDER}/plain", data, verbose=False)  # is counted too

    board = cnnzoo.board(FOLDER)
    print(board)
    board.save(FOLDER)

    # The choice is made on validation; its accuracy on test is the figure to report.
    chosen = max(board.runs, key=lambda run: run.validation_accuracy)
    print(f"Chosen on validation: {chosen.name}, with an accuracy of {chosen.accuracy:.1%} on test")


if __name__ == "__main__":
    main()
